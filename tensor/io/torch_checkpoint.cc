#include "tensor/io/torch_checkpoint.h"

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <unordered_map>

#include "tensor/io/dense.h"
#include "tensor/io/input_file.h"
#include "tensor/io/safetensors.h"
#include "tensor/io/torch_host.h"
#include "tensor/io/zip_archive.h"
#include "tensor/text.h"

namespace mt {
namespace {

using Kind = PickleValue::Kind;

class ZipHost final : public TorchHost {
 public:
  ZipHost(const ZipArchive& archive, std::string prefix, uint64_t file_bytes)
      : TorchHost(file_bytes), archive_(archive), prefix_(std::move(prefix)) {}

 protected:
  uint64_t bytes_available(const std::string& key) const override {
    return archive_.size(prefix_ + "data/" + key);
  }
  void fill(const std::string& key, Storage& memory) override {
    const std::string name = prefix_ + "data/" + key;
    check(archive_.size(name) == memory.bytes(), "storage {}: needs {} bytes, the file has {}", key,
          memory.bytes(), archive_.size(name));
    archive_.read(name, memory.data());
  }

 private:
  const ZipArchive& archive_;
  std::string prefix_;
};

// In the legacy format the storages stand behind the pickles; they are filled afterwards.
class LegacyHost final : public TorchHost {
 public:
  explicit LegacyHost(uint64_t file_bytes) : TorchHost(file_bytes), file_bytes_(file_bytes) {}

  // After the pickles: for each key the number of elements (i64), then the bytes.
  void read_storages(const InputFile& file, uint64_t position, const PickleValue& keys) {
    check(keys.kind == Kind::list, "the list of storages is missing");
    for (const PickleValue* key : keys.items) {
      const auto found = waiting_.find(key->text);
      check(key->kind == Kind::text && found != waiting_.end(), "storage {}: nothing refers to it",
            key->text);
      position += sizeof(int64_t);  // the number of elements, which the pickle has told too
      file.read_at(position, found->second->data(), found->second->bytes(), "a storage");
      position += found->second->bytes();
      waiting_.erase(found);
    }
    check(waiting_.empty(), "{} storages have no bytes; is the file complete?", waiting_.size());
  }

 protected:
  uint64_t bytes_available(const std::string&) const override { return file_bytes_; }
  void fill(const std::string& key, Storage& memory) override { waiting_[key] = &memory; }

 private:
  uint64_t file_bytes_;
  std::unordered_map<std::string, Storage*> waiting_;
};

/// Memory for the values of a pickle: 64 times its size is more than any honest one takes, and no checkpoint
/// has half a million values.
uint64_t pickle_budget(uint64_t pickle_bytes) {
  return std::min(64 * pickle_bytes + (uint64_t{16} << 20), uint64_t{128} << 20);
}

// Walks through nested dicts, lists and tuples and collects what a caller wants.
class Collector {
 public:
  explicit Collector(TorchCheckpoint& checkpoint) : checkpoint_(checkpoint) {}

  void collect(const PickleValue& value) {
    constexpr std::size_t kMostDepth = 64;
    // Hostile files refer to the same values over and over.
    check(keys_.size() < kMostDepth && ++visited_ <= kMostVisited,
          "pickle: the values are nested too deeply");
    switch (value.kind) {
      case Kind::dict:
        for (std::size_t i = 0; i + 1 < value.items.size(); i += 2)
          descend(key_of(*value.items[i]), *value.items[i + 1]);
        return;
      case Kind::list:
      case Kind::tuple:
        for (std::size_t i = 0; i < value.items.size(); ++i) descend(std::to_string(i), *value.items[i]);
        return;
      case Kind::tensor:
        count_letters(path_length_);
        checkpoint_.tensors.push_back({keys_, value.tensor});
        return;
      case Kind::integer:
        return keep(std::to_string(value.integer));
      case Kind::boolean:
        return keep(value.integer != 0 ? "true" : "false");
      case Kind::real:
        return keep(fmt::format("{}", value.real));
      case Kind::text:
        return keep(value.text);
      case Kind::opaque:
        count_letters(value.text.size());
        checkpoint_.opaque.emplace_back(TorchEntry{keys_, {}}.path(), value.text);
        return;
      default:
        return;
    }
  }

 private:
  void descend(std::string key, const PickleValue& value) {
    const std::size_t length = key.size();
    path_length_ += length;
    count_letters(path_length_);
    keys_.push_back(std::move(key));
    collect(value);
    keys_.pop_back();
    path_length_ -= length;
  }
  void count_letters(std::size_t letters) {
    letters_ += letters;
    check(letters_ <= kMostLetters, "pickle: the values are nested too deeply");
  }
  void keep(std::string text) {
    count_letters(text.size());
    checkpoint_.values.emplace_back(TorchEntry{keys_, {}}.path(), std::move(text));
  }
  static std::string key_of(const PickleValue& key) {
    return key.kind == Kind::integer ? std::to_string(key.integer) : key.text;
  }

  static constexpr std::size_t kMostVisited = std::size_t{1} << 20;
  static constexpr std::size_t kMostLetters = std::size_t{64} << 20;  // of paths and texts in all

  TorchCheckpoint& checkpoint_;
  std::size_t visited_ = 0;
  std::size_t path_length_ = 0;  // letters of keys_
  std::size_t letters_ = 0;      // of the paths of all values so far
  std::vector<std::string> keys_;
};

TorchCheckpoint collected(const PickleValue& root) {
  TorchCheckpoint checkpoint;
  Collector(checkpoint).collect(root);
  std::set<const Storage*> done;
  for (const TorchEntry& entry : checkpoint.tensors) {
    if (entry.tensor.dtype() != DType::boolean) continue;
    const std::shared_ptr<Storage>& memory = entry.tensor.storage();
    if (!done.insert(memory.get()).second) continue;
    const int64_t bytes = static_cast<int64_t>(memory->bytes());
    normalise_booleans(Tensor::view_of(memory, 0, Shape({bytes}), std::array<int64_t, 1>{1}, DType::boolean));
  }
  return checkpoint;
}

TorchCheckpoint read_zip(const std::string& path) {
  const ZipArchive archive(path);
  constexpr std::string_view kPickle = "data.pkl";
  std::optional<std::string> prefix;
  for (const std::string& name : archive.names()) {
    if (name.ends_with(kPickle) && std::count(name.begin(), name.end(), '/') <= 1) {
      prefix = name.substr(0, name.size() - kPickle.size());
    }
  }
  check(prefix.has_value(), "{}: is a zip file without data.pkl, so torch.save did not write it", path);
  check(!archive.has(*prefix + "byteorder") || archive.read(*prefix + "byteorder") == "little",
        "{}: was saved on a big-endian machine; save it again on a little-endian one", path);
  constexpr std::size_t kMostPickle = std::size_t{64} << 20;
  check(archive.size(*prefix + std::string(kPickle)) <= kMostPickle,
        "{}: its data.pkl has more than {} MB; no checkpoint needs that", path, kMostPickle >> 20);
  const std::string pickle = archive.read(*prefix + std::string(kPickle));
  ZipHost host(archive, *prefix, InputFile(path).size());
  PickleArena arena(pickle_budget(pickle.size()));
  std::size_t position = 0;
  return collected(*run_pickle(pickle, position, host, arena));
}

// https://github.com/pytorch/pytorch/blob/v1.13.1/torch/serialization.py: magic number, protocol, machine,
// the object, the keys of its storages, the storages.
TorchCheckpoint read_legacy(const std::string& path) {
  constexpr std::string_view kMagic = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
  constexpr int64_t kProtocol = 1001;
  const InputFile file(path);
  const std::string content = file.read_at(0, file.size(), "the file");
  LegacyHost host(file.size());
  PickleArena arena(pickle_budget(content.size()));
  std::size_t position = 0;
  const auto next = [&] { return run_pickle(content, position, host, arena); };
  const PickleValue* magic = next();
  check(magic->kind == Kind::big_integer && magic->text == kMagic,
        "is a pickle, but not one that torch.save wrote");
  check(next()->integer == kProtocol, "the legacy format has an unknown protocol");
  const PickleValue* machine = next();
  for (std::size_t i = 0; i + 1 < machine->items.size(); i += 2) {
    check(machine->items[i]->text != "little_endian" || machine->items[i + 1]->integer != 0,
          "was saved on a big-endian machine; save it again on a little-endian one");
  }
  const PickleValue* root = next();
  const PickleValue* keys = next();
  host.read_storages(file, position, *keys);
  return collected(*root);
}

enum class WeightFormat { safetensors, torch_zip, torch_legacy };

WeightFormat format_of(const std::string& path) {
  const InputFile file(path);
  check(file.size() > 0, "{}: is empty", path);
  const std::string begin = file.read_at(0, std::min<uint64_t>(file.size(), 9), "the file");
  if (begin.starts_with("PK\3\4")) return WeightFormat::torch_zip;
  if (begin.starts_with("\x80")) {
    if (begin.size() < 9 || begin[8] != '{') return WeightFormat::torch_legacy;
  }
  check(begin.size() == 9 && begin[8] == '{',
        "{}: is neither a safetensors file nor one that torch.save wrote (zip or legacy)", path);
  return WeightFormat::safetensors;
}

// Prefixes the path to errors that speak only of what is inside the file.
template <typename Read>
auto naming(const std::string& path, Read read) {
  try {
    return read();
  } catch (const Error& error) {
    const std::string text = error.what();
    if (text.starts_with(path)) throw;
    fail("{}: {}", path, text);
  }
}

}  // namespace

std::string TorchEntry::path() const {
  std::string path;
  for (const std::string& key : keys) path += (path.empty() ? "" : ".") + key;
  return path;
}

TorchCheckpoint read_torch_checkpoint(const std::string& path) {
  const WeightFormat format = format_of(path);
  check(format != WeightFormat::safetensors, "{}: is a safetensors file, not one that torch.save wrote",
        path);
  return naming(path, [&] { return format == WeightFormat::torch_zip ? read_zip(path) : read_legacy(path); });
}

namespace {

/// "; passed over: args (argparse.Namespace), …", or nothing.
std::string passed_over(const TorchCheckpoint& checkpoint) {
  constexpr std::size_t kShown = 4;
  std::string text;
  for (std::size_t i = 0; i < std::min(kShown, checkpoint.opaque.size()); ++i) {
    const auto& [path, name] = checkpoint.opaque[i];
    text += fmt::format("{}{} ({})", i == 0 ? "; objects are not read, and nothing is executed: " : ", ",
                        path.empty() ? "the file itself" : printable(path, 80), printable(name, 80));
  }
  if (checkpoint.opaque.size() > kShown)
    text += fmt::format(" and {} more", checkpoint.opaque.size() - kShown);
  return text;
}

}  // namespace

NamedTensors dense_tensors(const NamedTensors& views, const std::string& source) {
  // Views may expand their storages and share them; as dense weights, that makes sense only to some degree.
  std::set<const Storage*> storages;
  uint64_t stored = 0, copied = 0;
  NamedTensors tensors;
  for (const auto& [name, view] : views) {
    if (storages.insert(view.storage().get()).second) stored += view.storage()->bytes();
    if (!view.is_contiguous()) copied += view.bytes();
    check(copied / 2 <= stored + (uint64_t{32} << 20), "{}: tensor {} {} expands {} bytes", source, name,
          view.shape().str(), view.storage()->bytes());
    tensors.emplace_back(name, dense(view));
  }
  return tensors;
}

NamedTensors state_dict_of(const TorchCheckpoint& checkpoint, const std::string& source) {
  constexpr std::array<std::string_view, 5> kRoots{"state_dict", "model_state_dict", "net", "model", ""};
  for (const std::string_view root : kRoots) {
    NamedTensors tensors;
    const std::size_t depth = root.empty() ? 1 : 2;
    for (const TorchEntry& entry : checkpoint.tensors) {
      if (entry.keys.size() != depth || (!root.empty() && entry.keys[0] != root)) continue;
      tensors.emplace_back(entry.keys.back(), entry.tensor);
    }
    if (!tensors.empty()) return dense_tensors(tensors, source);
  }
  fail("{}: has no state dict (looked under state_dict, model_state_dict, net, model and at the root){}",
       source, passed_over(checkpoint));
}

NamedTensors read_weights(const std::string& path) {
  if (format_of(path) == WeightFormat::safetensors) return SafetensorsFile(path).read_all();
  return naming(path, [&] { return state_dict_of(read_torch_checkpoint(path), path); });
}

NamedTensors read_all_tensors(const std::string& path) {
  if (format_of(path) == WeightFormat::safetensors) return SafetensorsFile(path).read_all();
  const TorchCheckpoint checkpoint = read_torch_checkpoint(path);
  NamedTensors tensors;
  for (const TorchEntry& entry : checkpoint.tensors) tensors.emplace_back(entry.path(), entry.tensor);
  check(!tensors.empty(), "{}: holds no tensor{}", path, passed_over(checkpoint));
  return tensors;
}

}  // namespace mt
