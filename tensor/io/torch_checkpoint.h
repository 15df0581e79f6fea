#pragma once
// Reads what torch.save wrote: zip files (torch >= 1.6) and the older legacy format. The pickle inside is
// interpreted, not executed: a short list of opcodes and imports is known. Objects of any other class (an
// argparse.Namespace, a numpy number, a set, a path) are passed over: nothing is made of them.

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tensor/io/named_tensors.h"

namespace mt {

/// A tensor with the keys of the nested dicts and lists that lead to it, outermost first. A key may hold dots
/// itself:
/// {"net": {"fc.weight": t}} has the keys "net", "fc.weight".
struct TorchEntry {
  std::vector<std::string> keys;
  Tensor tensor;
  /// The keys joined by dots.
  std::string path() const;
};

struct TorchCheckpoint {
  /// In the order of the file. Tensors are views as torch saved them: strided, expanded, and sharing
  /// storages.
  std::vector<TorchEntry> tensors;
  /// Numbers, words and booleans beside them ("epoch" -> "199"), by dotted path.
  std::vector<std::pair<std::string, std::string>> values;
  /// What was passed over: dotted path and class ("args" -> "argparse.Namespace").
  std::vector<std::pair<std::string, std::string>> opaque;
};

/// Reads a .pth/.pt file of either format; a file that is one bare tensor has one entry without keys. Element
/// types: f64, f32, f16, bf16, i8…i64, u8, bool. Throws Error on anything damaged.
TorchCheckpoint read_torch_checkpoint(const std::string& path);

/// The model's tensors in a checkpoint: those under the first of the keys state_dict, model_state_dict, net
/// and model that the root dict has as a dict of its own, without that key; else those that stand in the root
/// dict itself. Names keep prefixes such as "module."; tensors are contiguous. Throws Error when there are
/// none, and says then which objects were passed over.
NamedTensors state_dict_of(const TorchCheckpoint& checkpoint, const std::string& source);

/// The state dict of a weight file, whichever of safetensors, torch zip and torch legacy it is; the content
/// decides, not the file's name. Tensors are contiguous and on the CPU.
NamedTensors read_weights(const std::string& path);

/// Every tensor of such a file by its dotted path, optimizer and second networks included: views, as in
/// TorchCheckpoint. Throws Error when there is none.
NamedTensors read_all_tensors(const std::string& path);

/// Contiguous copies. Throws Error for a tensor that is expanded out of all proportion to its storage.
NamedTensors dense_tensors(const NamedTensors& views, const std::string& source);

}  // namespace mt
