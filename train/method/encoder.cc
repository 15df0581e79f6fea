#include "train/method/encoder.h"

#include <fmt/format.h>

#include <cstdlib>

#include "autograd/arithmetic.h"
#include "autograd/optimizers.h"
#include "models/weights.h"
#include "tensor/check.h"
#include "tensor/io/safetensors.h"
#include "tensor/io/seal.h"
#include "tensor/rng.h"
#include "train/run/run_folder.h"

namespace mt::train {
namespace {

constexpr std::array<float, 3> kImageNetMean{0.485F, 0.456F, 0.406F};
constexpr std::array<float, 3> kImageNetStd{0.229F, 0.224F, 0.225F};

ResNetConfig network_config(const Config& config) {
  ResNetConfig network;
  network.depth = static_cast<int>(config.encoder);
  network.base_width = config.width;
  network.norm = config.norm;
  network.layer4_stride = config.layer4_stride;
  network.head_hidden = config.head_hidden;
  network.head_out = config.head_output;
  return network;
}

std::string triple(const std::array<float, 3>& v) {
  return fmt::format("{} {} {}", v[0], v[1], v[2]);
}

std::array<float, 3> parse_triple(const std::string& text, const std::string& source) {
  std::array<float, 3> v{};
  const char* at = text.c_str();
  for (float& value : v) {
    char* end = nullptr;
    value = std::strtof(at, &end);
    check(end != at, "{}: pixel scaling \"{}\" is not three numbers", source, text);
    at = end;
  }
  return v;
}

void apply_metadata(const std::map<std::string, std::string>& metadata, const std::string& source,
                    ImageScaling& scaling) {
  if (const auto found = metadata.find("pixel_mean"); found != metadata.end())
    scaling.mean = parse_triple(found->second, source);
  if (const auto found = metadata.find("pixel_std"); found != metadata.end())
    scaling.std = parse_triple(found->second, source);
  if (const auto found = metadata.find("channels"); found != metadata.end())
    scaling.swap_red_blue = found->second == choice_name(Channels::bgr);
}

}  // namespace

Encoder make_encoder(const Config& config) {
  Encoder encoder;
  encoder.network = std::make_unique<ResNet>(network_config(config), mix64(config.seed ^ hash64("encoder")),
                                             DType::f32, config.device);
  encoder.scaling.swap_red_blue = config.channels == Channels::bgr;
  if (config.weights.empty()) return encoder;

  const StateDict weights = read_resnet_weights(config.weights);
  const ResNetConfig found = detect_resnet(weights, config.weights);
  const ResNetConfig& wanted = encoder.network->config();
  check(found.depth == wanted.depth && found.base_width == wanted.base_width && found.norm == wanted.norm,
        "{}: holds a ResNet-{} of width {} with {} norm; the run asks for ResNet-{} of width {} with {} "
        "norm: set --encoder, --width "
        "and --norm to match",
        config.weights, found.depth, found.base_width, name_of(found.norm), wanted.depth, wanted.base_width,
        name_of(wanted.norm));
  LoadOptions options;
  options.source = config.weights;
  options.optional_prefixes = {
      "fc."};  // a classifier's or another head is replaced by a fresh projection head
  options.refuse_unexpected = false;
  load_state_dict(*encoder.network, weights, options);
  if (found.head == HeadKind::classifier) {
    encoder.scaling.mean = kImageNetMean;
    encoder.scaling.std = kImageNetStd;
  }
  if (config.weights.ends_with(".safetensors")) {
    apply_metadata(SafetensorsFile(config.weights).metadata(), config.weights, encoder.scaling);
  }
  return encoder;
}

void begin_training(Encoder& encoder, const Config& config) {
  encoder.network->set_batch_statistics(config.bn);
}

void append_buffers(const Encoder& encoder, NamedTensors& checkpoint) {
  if (!encoder.network->mixes_images()) return;
  for (const ModuleEntry& entry : encoder.network->entries()) {
    if (entry.is_parameter()) continue;
    checkpoint.emplace_back("buffer." + entry.name, copied_to(entry.buffer, Device::cpu));
  }
}

void restore_buffers(Encoder& encoder, const NamedTensors& checkpoint) {
  if (!encoder.network->mixes_images()) return;
  for (const ModuleEntry& entry : encoder.network->entries()) {
    if (entry.is_parameter()) continue;
    const Tensor& saved = find_tensor(checkpoint, "buffer." + entry.name);
    check(saved.shape() == entry.buffer.shape() && saved.dtype() == entry.buffer.dtype(),
          "checkpoint: buffer {} has another shape", entry.name);
    copy_into(entry.buffer, saved);
  }
}

Encoder load_encoder(const std::filesystem::path& path, const Config& config) {
  check_seal(path.string(), kRunFileRemedy);
  Encoder encoder;
  encoder.network = std::make_unique<ResNet>(network_config(config), 0, DType::f32, config.device);
  const SafetensorsFile file(path.string());
  LoadOptions options;
  options.source = path.string();
  load_state_dict(*encoder.network, file.read_all(), options);
  apply_metadata(file.metadata(), path.string(), encoder.scaling);
  return encoder;
}

void save_encoder(const std::filesystem::path& path, const Encoder& encoder) {
  write_sealed_tensors(
      path, state_dict(*encoder.network),
      {{"architecture", encoder.network->describe()},
       {"pixel_mean", triple(encoder.scaling.mean)},
       {"pixel_std", triple(encoder.scaling.std)},
       {"channels", choice_name(encoder.scaling.swap_red_blue ? Channels::bgr : Channels::rgb)}});
}

}  // namespace mt::train
