#include "wsi/file.h"

#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "tensor/check.h"
#include "tensor/io/input_file.h"

namespace mt::wsi {
namespace {

std::string system_message(int error) {
  return std::generic_category().message(error);
}

}  // namespace

RandomAccessFile::RandomAccessFile(const std::filesystem::path& path)
    : path_(path), descriptor_(-1), size_(0) {
  descriptor_ = open_regular_file(path.string(), size_);
}

RandomAccessFile::~RandomAccessFile() {
  ::close(descriptor_);
}

std::vector<uint8_t> RandomAccessFile::read(uint64_t offset, uint64_t bytes) const {
  check(holds(offset, bytes), "bytes {} to {} lie behind the end of the file ({} bytes); is it truncated?",
        offset, offset + bytes, size_);
  std::vector<uint8_t> data(bytes);
  uint64_t done = 0;
  while (done < bytes) {
    const ssize_t got =
        ::pread(descriptor_, data.data() + done, bytes - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    check(got >= 0, "cannot be read at byte {}: {}", offset + done, system_message(errno));
    check(got > 0, "ends at byte {} although it had {} bytes when it was opened", offset + done, size_);
    done += static_cast<uint64_t>(got);
  }
  return data;
}

}  // namespace mt::wsi
