#pragma once
// The patch encoder of a run: the network, and how pixels become its input.

#include <filesystem>
#include <memory>

#include "kernels/copy/copy.h"
#include "models/resnet.h"
#include "train/config.h"

namespace mt::train {

struct Encoder {
  std::unique_ptr<ResNet> network;
  ImageScaling scaling;  // pixel mean, std and channel order belong to the weights

  /// pixels (n,size,size,3) of u8 RGB → (n,size,size,3) of f32
  Tensor input(const uint8_t* pixels, int64_t n, int64_t size) const;
};

/// A network as config describes it: seeded initial values, or those of --weights (whose architecture must
/// fit; torchvision classifiers bring ImageNet's pixel scaling). Throws Error listing what does not fit.
Encoder make_encoder(const Config& config);
/// Weights that save_encoder() wrote, into a network as config describes it.
Encoder load_encoder(const std::filesystem::path& path, const Config& config);
/// PyTorch names and layouts; pixel scaling and architecture go into the metadata.
void save_encoder(const std::filesystem::path& path, const Encoder& encoder);

}  // namespace mt::train
