#pragma once
// State dicts: weights by PyTorch's names in PyTorch's layouts. Files are read by tensor/io.

#include <string>
#include <vector>

#include "models/resnet.h"
#include "tensor/io/named_tensors.h"

namespace mt {

/// Names and tensors in the order of PyTorch's state_dict, in PyTorch's layouts: convolution weights
/// (K,C,R,S).
using StateDict = NamedTensors;

/// Copies of all parameters and buffers, on the cpu. f64 parameters give f64 tensors.
StateDict state_dict(const Module& module);

struct LoadOptions {
  std::string source = "state dict";  // named in errors: the file
  /// Names with these prefixes may be missing, and may have another shape: the module then keeps its own
  /// values ("fc." for a new head).
  std::vector<std::string> optional_prefixes;
  /// Tensors that the module does not know are an error; else they are reported only.
  bool refuse_unexpected = true;
};

struct LoadReport {
  std::vector<std::string> missing;
  std::vector<std::string> unexpected;
  std::vector<std::string> misshaped;  // "fc.weight: (10,512) in the file, (2,512) in the model"
  int64_t loaded = 0;
  /// All of it in one line; names beyond the first few are counted.
  std::string str() const;
};

/// Copies `weights` into the module's parameters and buffers, converting layout and number type. A NaN or
/// infinity is an Error naming the tensor. When anything is missing, unexpected or misshaped (beyond what the
/// options allow) one Error lists all of it, and the module is left as it was. num_batches_tracked may be
/// missing.
LoadReport load_state_dict(Module& module, const StateDict& weights, const LoadOptions& options = {});

/// The ResNet among the tensors of a file, by torchvision's names, without what stands before all of them:
/// "module.", "model.resnet.", "teacher.backbone.", in any nesting; other tensors (optimizer state, a queue)
/// are left out. A torch.nn.Sequential of its children, as DSMIL saves them ("features.0.weight" is
/// conv1.weight, "features.7.1.conv2.weight" is layer4.1.conv2.weight), gets its names back. Of two networks
/// the one is taken that its method evaluates: encoder_q not encoder_k, base_encoder not momentum_encoder,
/// online not target, teacher not student, and no moving average beside state_dict or model. Without any
/// ResNet the weights come back as they are. Throws Error when two remain.
StateDict find_resnet(const StateDict& weights, const std::string& source = "state dict");

/// find_resnet() of a weight file, contiguous.
StateDict read_resnet_weights(const std::string& path);

/// Reads depth, width, norm and head off the names and shapes. An Error says what does not look like a
/// torchvision ResNet. layer4_stride cannot be seen in weights: it stays 2.
ResNetConfig detect_resnet(const StateDict& weights, const std::string& source = "state dict");

}  // namespace mt
