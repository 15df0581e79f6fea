#pragma once
// The safetensors format (https://github.com/huggingface/safetensors#format): eight bytes of header length, a
// JSON header of names, types, shapes and byte ranges, then the tensors' bytes without gaps.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/io/input_file.h"
#include "tensor/io/named_tensors.h"

namespace mt {

/// An open safetensors file. The header is checked whole at opening (types, shapes, ranges inside the file,
/// no overlap, no gap, no name twice); tensors are read when asked for.
class SafetensorsFile {
 public:
  /// Throws Error naming file and tensor.
  explicit SafetensorsFile(const std::string& path);
  /// In the order of their bytes in the file.
  const std::vector<std::string>& names() const { return names_; }
  bool has(std::string_view name) const;
  DType dtype(std::string_view name) const { return entry(name).dtype; }
  const Shape& shape(std::string_view name) const { return entry(name).shape; }
  /// Reads one tensor: contiguous, on the CPU.
  Tensor operator[](std::string_view name) const;
  NamedTensors read_all() const;
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

 private:
  struct Entry {
    DType dtype = DType::f32;
    Shape shape;
    uint64_t begin = 0;  // bytes, from the end of the header
    uint64_t end = 0;
  };
  const Entry& entry(std::string_view name) const;
  void parse_header(std::string_view json, uint64_t data_bytes);
  void check_ranges(uint64_t data_bytes);

  InputFile file_;
  uint64_t data_begin_ = 0;
  std::map<std::string, Entry, std::less<>> entries_;
  std::vector<std::string> names_;
  std::map<std::string, std::string> metadata_;
};

/// Writes CPU tensors in the order given, atomically. Throws Error when a name is there twice. A blank seal
/// (seal.h) among the metadata is filled in.
void write_safetensors(const std::string& path, const NamedTensors& tensors,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace mt
