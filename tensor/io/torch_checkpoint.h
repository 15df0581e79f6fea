#pragma once
// Reads what torch.save wrote: zip files (torch >= 1.6) and the older legacy format. The pickle inside is
// interpreted, not executed: a short list of opcodes and imports is known, and anything else is an error that
// names it.

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
};

/// Reads a .pth/.pt file of either format; a file that is one bare tensor has one entry without keys. Element
/// types: f64, f32, f16, bf16, i8…i64, u8, bool. Throws Error on anything damaged, and on a pickle that
/// imports what tensors do not need.
TorchCheckpoint read_torch_checkpoint(const std::string& path);

/// The model's tensors in a checkpoint: those under the first of the keys state_dict, model_state_dict, net
/// and model that the root dict has as a dict of its own, without that key; else those that stand in the root
/// dict itself. Names keep prefixes such as "module."; tensors are contiguous. Throws Error when there are
/// none.
NamedTensors state_dict_of(const TorchCheckpoint& checkpoint, const std::string& source);

/// The state dict of a weight file, whichever of safetensors, torch zip and torch legacy it is; the content
/// decides, not the file's name. Tensors are contiguous and on the CPU.
NamedTensors read_weights(const std::string& path);

}  // namespace mt
