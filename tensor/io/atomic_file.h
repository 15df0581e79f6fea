#pragma once
// Files appear complete or not at all: written under a temporary name in the same folder, synced, renamed.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace mt {

/// A file being written. Without commit() the destructor removes the temporary file and an older file stays
/// as it was.
class AtomicFile {
 public:
  /// Creates the temporary file `.<name>.tmp-<process>-<number>` beside `path`. Throws Error naming path and
  /// reason.
  explicit AtomicFile(std::string path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  const std::string& path() const { return path_; }
  /// For libraries that write by name: let them overwrite this file, close it, then commit().
  const std::string& temporary_path() const { return temporary_path_; }
  /// Appends. Throws Error naming the file and a remedy when the disk is full.
  void write(const void* data, std::size_t bytes);
  void write(std::string_view text) { write(text.data(), text.size()); }
  /// Writes out what is buffered: a full disk is said here, and not when other files have their names already.
  void flush();
  /// Flushes, syncs, renames over `path`, syncs the folder.
  void commit();

 private:
  std::string path_;
  std::string temporary_path_;
  std::string buffer_;
  uint64_t written_ = 0;
  bool committed_ = false;
};

/// Writes a whole file atomically.
void write_file(const std::string& path, std::string_view content);

/// Makes the names of new files and folders in `folder` last. Throws Error where the disk fails.
void sync_folder(const std::string& folder);

/// The error of a failed write to `path` with the errno `code`: a full disk or quota is named with its
/// remedy.
[[noreturn]] void fail_write(const std::string& path, uint64_t bytes_written, int code);

}  // namespace mt
