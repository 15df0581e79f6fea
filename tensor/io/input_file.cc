#include "tensor/io/input_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "tensor/check.h"

namespace mt {

int open_regular_file(const std::string& path, uint64_t& size) {
  // Without O_NONBLOCK the opening of a FIFO waits for somebody who writes into it. Reads of a regular file
  // are the same with it.
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  check(descriptor >= 0, "{}: cannot be opened ({})", path, std::strerror(errno));
  struct stat info {};
  if (fstat(descriptor, &info) != 0 || !S_ISREG(info.st_mode)) {
    close(descriptor);
    fail("{}: is not a regular file", path);
  }
  size = static_cast<uint64_t>(info.st_size);
  return descriptor;
}

InputFile::InputFile(std::string path) : path_(std::move(path)) {
  descriptor_ = open_regular_file(path_, size_);
}

InputFile::~InputFile() {
  close(descriptor_);
}

void InputFile::read_at(uint64_t offset, void* target, uint64_t bytes, const char* what) const {
  check(offset <= size_ && bytes <= size_ - offset,
        "{}: {} needs {} bytes at {}, but the file ends at {}; is it complete?", path_, what, bytes, offset,
        size_);
  uint64_t done = 0;
  while (done < bytes) {
    const ssize_t got = pread(descriptor_, static_cast<char*>(target) + done, bytes - done,
                              static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    check(got > 0, "{}: {} cannot be read at {} ({})", path_, what, offset + done,
          got < 0 ? std::strerror(errno) : "the file became shorter");
    done += static_cast<uint64_t>(got);
  }
}

std::string InputFile::read_at(uint64_t offset, uint64_t bytes, const char* what) const {
  check(offset <= size_ && bytes <= size_ - offset,
        "{}: {} needs {} bytes at {}, but the file ends at {}; is it complete?", path_, what, bytes, offset,
        size_);
  std::string content(bytes, '\0');
  read_at(offset, content.data(), bytes, what);
  return content;
}

std::string read_file(const std::string& path, uint64_t limit_bytes) {
  const InputFile file(path);
  check(file.size() <= limit_bytes, "{}: has {} bytes, more than the {} that make sense here", path,
        file.size(), limit_bytes);
  return file.read_at(0, file.size(), "the file");
}

}  // namespace mt
