#pragma once
// A file that is read at any place, from any thread.

#include <cstdint>
#include <filesystem>
#include <vector>

namespace mt::wsi {

class RandomAccessFile {
 public:
  /// Throws Error naming the file when it is not there, not a regular file, or not readable.
  explicit RandomAccessFile(const std::filesystem::path& path);
  ~RandomAccessFile();
  RandomAccessFile(const RandomAccessFile&) = delete;
  RandomAccessFile& operator=(const RandomAccessFile&) = delete;

  uint64_t size() const { return size_; }
  /// True when [offset, offset + bytes) lies inside the file.
  bool holds(uint64_t offset, uint64_t bytes) const { return offset <= size_ && bytes <= size_ - offset; }
  /// Exactly `bytes` bytes from `offset`. Nothing is allocated for a range that the file does not hold.
  std::vector<uint8_t> read(uint64_t offset, uint64_t bytes) const;

 private:
  std::filesystem::path path_;
  int descriptor_;
  uint64_t size_;
};

}  // namespace mt::wsi
