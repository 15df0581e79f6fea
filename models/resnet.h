#pragma once
// ResNet-18, -34 and -50 (He et al., "Deep residual learning for image recognition", CVPR 2016) in
// torchvision's form and names.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "models/layers.h"
#include "models/module.h"

namespace mt {

enum class HeadKind : uint8_t {
  none,        // the features themselves
  classifier,  // fc: Linear
  projection   // fc.0, fc.2: Linear, ReLU, Linear
};

struct ResNetConfig {
  int depth = 18;           // 18, 34 or 50
  int64_t base_width = 64;  // channels after the stem; layer 4 has 8 times as many (times 4 for depth 50)
  NormKind norm = NormKind::instance;
  int64_t layer4_stride = 2;  // 1 keeps a larger last map: for small patches
  HeadKind head = HeadKind::projection;
  int64_t head_hidden = 512;  // of a projection
  int64_t head_out = 256;     // of a projection or classifier

  /// Width of the features: 8 · base_width, times 4 for depth 50.
  int64_t feature_width() const { return base_width * (depth == 50 ? 32 : 8); }
  /// Height of the last map for square patches of `patch` pixels.
  int64_t last_map(int64_t patch) const;
  bool operator==(const ResNetConfig&) const = default;
};

/// Activations that were asked for by forward, in their order: conv1, maxpool, layer1 … layer4, each
/// (N,H,W,C).
using Activations = std::vector<std::pair<std::string, Tensor>>;

class ResNet : public Module {
 public:
  explicit ResNet(const ResNetConfig& config, uint64_t seed = 0, DType dtype = DType::f32,
                  Device device = Device::cpu);

  /// images (N,H,W,3) → features after the global average (N,feature_width). With InstanceNorm a last map of
  /// 1 × 1 is refused: it would be normalised to zero.
  Variable features(const Variable& images, Activations* activations = nullptr) const;
  /// The same of pixels (N,H,W,3) of u8, which the stem scales where it reads them.
  Variable features(const Tensor& pixels, const ImageScaling& scaling) const;
  /// features (N,feature_width) → (N,head_out); the features themselves without a head.
  Variable head(const Variable& features) const;
  Variable forward(const Variable& images) const { return head(features(images)); }

  const ResNetConfig& config() const { return config_; }
  /// Frozen is the default: exact with chunked gradients, and right for embedding.
  void set_batch_statistics(BatchStatistics statistics) { statistics_ = statistics; }
  BatchStatistics batch_statistics() const { return statistics_; }
  /// True when the rows of a batch influence each other, so that a chunk is not a batch.
  bool mixes_images() const {
    return config_.norm == NormKind::batch && statistics_ == BatchStatistics::batch;
  }
  /// Keep only the blocks' inputs for the backward and compute the rest again.
  void set_recompute(bool wanted) { recompute_ = wanted; }
  std::string describe() const override;

 private:
  /// Two 3 × 3 convolutions, or 1 × 1, 3 × 3, 1 × 1 for depth 50, around a shortcut.
  struct Block {
    std::vector<Conv> convs;
    std::vector<Norm2d> norms;
    Conv shortcut;  // "downsample.0", where shapes change
    Norm2d shortcut_norm;
    bool has_shortcut = false;
  };

  Block make_block(const std::string& name, int64_t in, int64_t width, int64_t stride);
  /// Throws Error for patches that are too small.
  void check_patch(int64_t height, int64_t width) const;
  /// stem (N,H/2,W/2,B): the first convolution's result → (N,feature_width)
  Variable features_after(Variable stem, Activations* activations) const;
  /// x (N,H,W,C) → (N,P,Q,K), or where `averaged` the mean over its pixels, (N,K).
  Variable run_block(const Block& block, const Variable& x, bool averaged) const;

  ResNetConfig config_;
  BatchStatistics statistics_ = BatchStatistics::frozen;
  bool recompute_ = false;
  Conv stem_;
  Norm2d stem_norm_;
  std::vector<std::vector<Block>> stages_;
  Linear head_first_;
  Linear head_second_;
};

}  // namespace mt
