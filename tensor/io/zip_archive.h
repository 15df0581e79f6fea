#pragma once
// Reads members of a zip file (numpy's .npz, torch's .pth) through libzip.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

struct zip;

namespace mt {

/// An open zip file. Files are untrusted: a member is never given more memory than its compressed bytes can
/// hold.
class ZipArchive {
 public:
  /// Throws Error when the file cannot be opened or is no zip file.
  explicit ZipArchive(std::string path);
  ~ZipArchive();
  ZipArchive(const ZipArchive&) = delete;
  ZipArchive& operator=(const ZipArchive&) = delete;

  const std::string& path() const { return path_; }
  /// Member names in the order of the archive.
  const std::vector<std::string>& names() const { return names_; }
  bool has(std::string_view name) const { return index_.contains(std::string(name)); }
  /// Uncompressed bytes of a member, not yet verified by reading it.
  std::size_t size(const std::string& name) const;
  /// Reads a whole member into `target`, which must hold size(name) bytes. Verifies length and checksum.
  void read(const std::string& name, void* target) const;
  std::string read(const std::string& name) const;

 private:
  uint64_t index_of(const std::string& name) const;

  std::string path_;
  uint64_t file_bytes_ = 0;
  struct zip* zip_ = nullptr;
  std::vector<std::string> names_;
  std::unordered_map<std::string, uint64_t> index_;
};

}  // namespace mt
