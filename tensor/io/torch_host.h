#pragma once
// What the pickles of torch.save refer to: storages and the functions that make tensors of them.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tensor/io/pickle.h"

namespace mt {

/// A storage of the file: part of a memory block that others may view too.
struct TorchStorage {
  std::shared_ptr<Storage> memory;
  DType dtype = DType::f32;
  int64_t begin = 0;  // elements
  int64_t size = 0;   // elements
};

/// Makes tensors of what the pickle names. The two file formats differ in where a storage's bytes are.
class TorchHost : public PickleHost {
 public:
  /// Storages may ask for four times `file_bytes` in all (members of a zip file may be compressed a little).
  explicit TorchHost(uint64_t file_bytes) : budget_(4 * file_bytes + (1 << 20)) {}

  bool knows(std::string_view name) const override;
  PickleValue* call(PickleArena& arena, const std::string& name, const PickleValue& arguments) override;
  PickleValue* load_persistent(PickleArena& arena, const PickleValue& id) override;

 protected:
  /// The most bytes that the storage `key` can have.
  virtual uint64_t bytes_available(const std::string& key) const = 0;
  /// Called once for each storage; the memory may be filled now or later.
  virtual void fill(const std::string& key, Storage& memory) = 0;

 private:
  TorchStorage open_storage(const std::string& key, DType dtype, int64_t elements);
  PickleValue* rebuild_tensor(PickleArena& arena, const PickleValue& arguments) const;

  uint64_t budget_;  // bytes that storages may still ask for
  std::vector<TorchStorage> storages_;
  std::unordered_map<std::string, std::shared_ptr<Storage>> memory_;
};

}  // namespace mt
