#pragma once
// The patch encoder of a run: the network, and how pixels become its input.

#include <filesystem>
#include <memory>

#include "kernels/copy/copy.h"
#include "models/resnet.h"
#include "tensor/io/named_tensors.h"
#include "train/settings/config.h"

namespace mt::train {

struct Encoder {
  std::unique_ptr<ResNet> network;
  ImageScaling scaling;  // pixel mean, std and channel order belong to the weights

  /// pixels (n,size,size,3) of u8 RGB on the network's device → (n,feature_width)
  Variable features(const Tensor& pixels) const { return network->features(pixels, scaling); }
  /// … → the head's embeddings (n,head_out)
  Variable embeddings(const Tensor& pixels) const { return network->head(features(pixels)); }
};

/// A network as config describes it, on its device: seeded initial values, or those of --weights (whose
/// architecture must fit; torchvision classifiers bring ImageNet's pixel scaling). Throws Error listing what
/// does not fit.
Encoder make_encoder(const Config& config);
/// From here on the network trains: BatchNorm takes the statistics that --bn says. Afterwards a forward pass
/// may change buffers.
void begin_training(Encoder& encoder, const Config& config);
/// Adds to a checkpoint what an optimizer does not have, as "buffer.NAME": the running statistics where
/// training changes them (--bn batch), else nothing.
void append_buffers(const Encoder& encoder, NamedTensors& checkpoint);
/// Takes them out again.
void restore_buffers(Encoder& encoder, const NamedTensors& checkpoint);
/// Weights that save_encoder() wrote, into a network as config describes it.
Encoder load_encoder(const std::filesystem::path& path, const Config& config);
/// PyTorch names and layouts; pixel scaling and architecture go into the metadata.
void save_encoder(const std::filesystem::path& path, const Encoder& encoder);

}  // namespace mt::train
