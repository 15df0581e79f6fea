#include "models/resnet.h"

#include <fmt/format.h>

#include "autograd/recompute.h"
#include "tensor/check.h"

namespace mt {
namespace {

constexpr PoolWindow kStemPool{3, 2, 1};

std::vector<int> blocks_per_stage(int depth) {
  switch (depth) {
    case 18:
      return {2, 2, 2, 2};
    case 34:
    case 50:
      return {3, 4, 6, 3};
    default:
      throw UsageError(fmt::format("resnet: depth {} is not known; there are 18, 34 and 50", depth));
  }
}

int64_t halved(int64_t size, int64_t stride) {
  return (size - 1) / stride + 1;
}  // 3 × 3, padding 1

}  // namespace

int64_t ResNetConfig::last_map(int64_t patch) const {
  int64_t size = halved(halved(patch, 2), 2);  // stem 7 × 7 with padding 3, then the pooling
  for (int stage = 1; stage < 4; ++stage) size = halved(size, stage == 3 ? layer4_stride : 2);
  return size;
}

ResNet::ResNet(const ResNetConfig& config, uint64_t seed, DType dtype, Device device)
    : Module(dtype, seed, device), config_(config) {
  check(config.base_width >= 1, "resnet: base width {} must be at least 1", config.base_width);
  check(config.layer4_stride == 1 || config.layer4_stride == 2, "resnet: layer 4 has stride 1 or 2, not {}",
        config.layer4_stride);
  const std::vector<int> blocks = blocks_per_stage(config.depth);
  stem_ = Conv(*this, "conv1", 3, config.base_width, 7, 2);
  stem_norm_ = Norm2d(*this, "bn1", config.norm, config.base_width);
  const int64_t expansion = config.depth == 50 ? 4 : 1;
  int64_t channels = config.base_width;
  for (int stage = 0; stage < 4; ++stage) {
    const int64_t width = config.base_width << stage;
    const int64_t first_stride = stage == 0 ? 1 : stage == 3 ? config.layer4_stride : 2;
    std::vector<Block>& built = stages_.emplace_back();
    for (int i = 0; i < blocks[static_cast<std::size_t>(stage)]; ++i) {
      const std::string name = fmt::format("layer{}.{}", stage + 1, i);
      built.push_back(make_block(name, channels, width, i == 0 ? first_stride : 1));
      channels = width * expansion;
    }
  }
  if (config.head == HeadKind::classifier) head_first_ = Linear(*this, "fc", channels, config.head_out);
  if (config.head == HeadKind::projection) {
    head_first_ = Linear(*this, "fc.0", channels, config.head_hidden);
    head_second_ = Linear(*this, "fc.2", config.head_hidden, config.head_out);
  }
}

ResNet::Block ResNet::make_block(const std::string& name, int64_t in, int64_t width, int64_t stride) {
  struct Step {
    int64_t in, out, window, stride;
  };
  const bool bottleneck = config_.depth == 50;  // torchvision's: the stride is the 3 × 3 convolution's
  const int64_t out = bottleneck ? 4 * width : width;
  const std::vector<Step> steps =
      bottleneck ? std::vector<Step>{{in, width, 1, 1}, {width, width, 3, stride}, {width, out, 1, 1}}
                 : std::vector<Step>{{in, width, 3, stride}, {width, width, 3, 1}};
  Block block;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const Step& step = steps[i];
    block.convs.emplace_back(*this, fmt::format("{}.conv{}", name, i + 1), step.in, step.out, step.window,
                             step.stride);
    block.norms.emplace_back(*this, fmt::format("{}.bn{}", name, i + 1), config_.norm, step.out);
  }
  block.has_shortcut = stride != 1 || in != out;
  if (block.has_shortcut) {
    block.shortcut = Conv(*this, name + ".downsample.0", in, out, 1, stride);
    block.shortcut_norm = Norm2d(*this, name + ".downsample.1", config_.norm, out);
  }
  return block;
}

Variable ResNet::run_block(const Block& block, const Variable& x, bool averaged) const {
  const Variable shortcut =
      block.has_shortcut ? block.shortcut_norm.forward(block.shortcut.forward(x), statistics_, /*relu=*/false)
                         : x;
  Variable y = x;
  const std::size_t last = block.convs.size() - 1;
  for (std::size_t i = 0; i < last; ++i) {
    y = block.norms[i].forward(block.convs[i].forward(y), statistics_, /*relu=*/true);
  }
  y = block.convs[last].forward(y);
  return averaged ? block.norms[last].forward_averaged(y, statistics_, /*relu=*/true, shortcut)
                  : block.norms[last].forward(y, statistics_, /*relu=*/true, shortcut);
}

void ResNet::check_patch(int64_t height, int64_t width) const {
  const bool instance = config_.norm != NormKind::batch;
  check(!instance || config_.last_map(height) * config_.last_map(width) > 1,
        "resnet: patches of {} x {} pixels end in a map of one pixel, which InstanceNorm turns into zeros; "
        "take larger "
        "patches or layer 4 with stride 1",
        height, width);
}

Variable ResNet::features(const Variable& images, Activations* activations) const {
  check(images.rank() == 4 && images.dim(3) == 3 && images.dtype() == dtype(),
        "resnet: wants images (N,H,W,3) of {}, not {} {}", name_of(dtype()), name_of(images.dtype()),
        images.shape().str());
  check_patch(images.dim(1), images.dim(2));
  return features_after(stem_.forward(images), activations);
}

Variable ResNet::features(const Tensor& pixels, const ImageScaling& scaling) const {
  check(pixels.rank() == 4 && pixels.dim(3) == 3 && pixels.dtype() == DType::u8,
        "resnet: wants pixels (N,H,W,3) of u8, not {} {}", name_of(pixels.dtype()), pixels.shape().str());
  check_patch(pixels.dim(1), pixels.dim(2));
  return features_after(stem_.forward(pixels, scaling), nullptr);
}

Variable ResNet::features_after(Variable x, Activations* activations) const {
  const auto keep = [&](const std::string& name, const Variable& value) {
    if (activations != nullptr) activations->emplace_back(name, value.value());
  };
  keep("conv1", x);                                                                 // (N,H/2,W/2,B)
  x = ops::max_pool(stem_norm_.forward(x, statistics_, /*relu=*/true), kStemPool);  // (N,H/4,W/4,B)
  keep("maxpool", x);
  for (std::size_t stage = 0; stage < stages_.size(); ++stage) {
    for (const Block& block : stages_[stage]) {
      // Who wants to see the last map gets it written; else only its average is.
      const bool averaged = activations == nullptr && &block == &stages_.back().back();
      const auto run = [this, &block, averaged](const Variable& in) {
        return run_block(block, in, averaged);
      };
      x = recompute_ ? recompute(run, x) : run(x);
    }
    keep(fmt::format("layer{}", stage + 1), x);
  }
  return activations == nullptr ? x : ops::global_average_pool(x);  // (N,F)
}

Variable ResNet::head(const Variable& features) const {
  switch (config_.head) {
    case HeadKind::none:
      return features;
    case HeadKind::classifier:
      return head_first_.forward(features);
    case HeadKind::projection:
      return head_second_.forward(head_first_.forward(features, GemmActivation::relu));
  }
  return features;
}

std::string ResNet::describe() const {
  const std::string width =
      config_.base_width == 64 ? "" : fmt::format(", base width {}", config_.base_width);
  const std::string stride = config_.layer4_stride == 2 ? "" : ", layer 4 with stride 1";
  std::string head = "no head";
  if (config_.head == HeadKind::classifier) head = fmt::format("classifier {}", config_.head_out);
  if (config_.head == HeadKind::projection) {
    head = fmt::format("projection {}-{}-{}", config_.feature_width(), config_.head_hidden, config_.head_out);
  }
  return fmt::format("ResNet-{} {}{}{}, {}", config_.depth, name_of(config_.norm), width, stride, head);
}

}  // namespace mt
