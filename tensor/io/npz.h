#pragma once
// Reads numpy's .npz files (a zip of .npy arrays, stored or deflated). Used by tests and by tools that take
// arrays.

#include <string>
#include <string_view>
#include <vector>

#include "tensor/io/zip_archive.h"
#include "tensor/tensor.h"

namespace mt {

/// An open .npz file. Errors name the file and the array.
class NpzFile {
 public:
  explicit NpzFile(const std::string& path);
  /// Names without ".npy", in the order of the file.
  const std::vector<std::string>& names() const { return names_; }
  bool has(std::string_view name) const { return archive_.has(std::string(name) + ".npy"); }
  /// The array as a contiguous CPU tensor of its shape; () becomes rank 0. Types: f2, f4, f8, i1, i2, i4, i8,
  /// u1, b1, little endian. u2 and u4 widen to i32 and i64; u8's 64 bits are kept as i64. Throws when there
  /// is no such array.
  Tensor operator[](std::string_view name) const;

 private:
  ZipArchive archive_;
  std::vector<std::string> names_;
};

/// Parses one .npy file (versions 1 to 3) held in memory; `source` names it in errors.
Tensor parse_npy(std::string_view content, const std::string& source);

}  // namespace mt
