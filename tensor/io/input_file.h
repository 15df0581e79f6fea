#pragma once
// Reads files by position. Reads are checked against the file's size, so a lying header cannot reach beyond
// it.

#include <cstdint>
#include <string>

namespace mt {

/// A descriptor of a regular file for reading, and its size. Never waits: a FIFO or a device is an Error, as
/// is a file that cannot be opened. The caller closes it.
int open_regular_file(const std::string& path, uint64_t& size);

/// A file opened for reading; reads from any thread. (pread rather than mmap: a file that shrinks while it is
/// used is an error, not a SIGBUS.)
class InputFile {
 public:
  /// Throws Error when the file is missing, unreadable or not a regular file.
  explicit InputFile(std::string path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  const std::string& path() const { return path_; }
  uint64_t size() const { return size_; }
  /// Reads exactly `bytes` bytes at `offset`; throws Error naming `what` when the file does not have them.
  void read_at(uint64_t offset, void* target, uint64_t bytes, const char* what) const;
  std::string read_at(uint64_t offset, uint64_t bytes, const char* what) const;

 private:
  std::string path_;
  int descriptor_ = -1;
  uint64_t size_ = 0;
};

/// The whole file. Throws Error when it is larger than `limit_bytes`.
std::string read_file(const std::string& path, uint64_t limit_bytes = uint64_t{1} << 30);

}  // namespace mt
