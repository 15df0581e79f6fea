#include "tensor/io/atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "tensor/check.h"

namespace mt {
namespace {

constexpr std::size_t kBufferBytes = std::size_t{1} << 18;

std::string folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

// The file may have been replaced by a library, so it is opened by name each time; that happens once in 256
// KiB.
struct Descriptor {
  explicit Descriptor(const std::string& path, int flags)
      : value(open(path.c_str(), flags | O_CLOEXEC, 0666)) {}
  ~Descriptor() {
    if (value >= 0) close(value);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int value;
};

}  // namespace

void fail_write(const std::string& path, uint64_t bytes_written, int code) {
  const bool full = code == ENOSPC || code == EDQUOT || code == EFBIG;
  fail("{}: cannot be written after {} bytes ({}); {}", path, bytes_written, std::strerror(code),
       full ? "free some space or name another folder, then run the same command again"
            : "check the folder and its permissions");
}

AtomicFile::AtomicFile(std::string path) : path_(std::move(path)) {
  static std::atomic<uint64_t> counter{0};
  const std::size_t slash = path_.rfind('/');
  const std::string name = slash == std::string::npos ? path_ : path_.substr(slash + 1);
  check(!name.empty(), "{}: is no file name", path_);
  temporary_path_ = fmt::format("{}/.{}.tmp-{}-{}", folder_of(path_), name, getpid(), counter.fetch_add(1));
  const Descriptor file(temporary_path_, O_WRONLY | O_CREAT | O_TRUNC);
  if (file.value < 0) fail_write(path_, 0, errno);
}

AtomicFile::~AtomicFile() {
  if (!committed_) unlink(temporary_path_.c_str());
}

void AtomicFile::write(const void* data, std::size_t bytes) {
  buffer_.append(static_cast<const char*>(data), bytes);
  if (buffer_.size() >= kBufferBytes) flush();
}

void AtomicFile::flush() {
  if (buffer_.empty()) return;
  const Descriptor file(temporary_path_, O_WRONLY | O_APPEND);
  if (file.value < 0) fail_write(path_, written_, errno);
  std::size_t done = 0;
  while (done < buffer_.size()) {
    const ssize_t put = ::write(file.value, buffer_.data() + done, buffer_.size() - done);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) fail_write(path_, written_, errno);
    done += static_cast<std::size_t>(put);
    written_ += static_cast<uint64_t>(put);
  }
  buffer_.clear();
}

void AtomicFile::commit() {
  flush();
  {
    const Descriptor file(temporary_path_, O_RDONLY);
    if (file.value < 0 || fsync(file.value) != 0) fail_write(path_, written_, errno);
  }
  if (std::rename(temporary_path_.c_str(), path_.c_str()) != 0) fail_write(path_, written_, errno);
  committed_ = true;
  sync_folder(folder_of(path_));
}

void sync_folder(const std::string& folder) {
  const Descriptor file(folder, O_RDONLY | O_DIRECTORY);
  // Some file systems cannot sync folders; one that can and fails has lost what was written.
  if (file.value >= 0 && fsync(file.value) != 0 && (errno == EIO || errno == ENOSPC || errno == EDQUOT))
    fail_write(folder, 0, errno);
}

void write_file(const std::string& path, std::string_view content) {
  AtomicFile file(path);
  file.write(content);
  file.commit();
}

}  // namespace mt
