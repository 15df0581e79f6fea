#include "train/run/run_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string_view>

#include "tensor/check.h"
#include "tensor/io/atomic_file.h"
#include "tensor/io/input_file.h"

namespace mt::train {
namespace {

/// The lines at the beginning of `text` that are whole and JSON.
std::string_view whole_lines(std::string_view text) {
  std::size_t end = 0;
  while (true) {
    const std::size_t next = text.find('\n', end);
    if (next == std::string_view::npos) break;
    const std::string_view line = text.substr(end, next - end);
    if (!nlohmann::json::accept(line)) break;
    end = next + 1;
  }
  return text.substr(0, end);
}

}  // namespace

RunLog::RunLog(std::filesystem::path path, const Known& known) : path_(std::move(path)) {
  file_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  check(file_ >= 0, "{}: cannot be opened: {}", path_.string(), std::strerror(errno));
  try {
    cut_back(known);
  } catch (...) {
    ::close(file_);
    throw;
  }
}

RunLog::~RunLog() {
  ::close(file_);
}

void RunLog::cut_back(const Known& known) {
  std::string text;
  {
    const InputFile file(path_.string());
    text = file.read_at(0, std::min(file.size(), known.bytes), "the log");
  }
  std::string_view kept = text;
  if (text.size() < known.bytes) {
    kept = whole_lines(text);
    std::fprintf(stderr,
                 "warning: %s: is shorter than the run left it; its other lines, and their curves in the "
                 "report, are gone\n",
                 path_.c_str());
  }
  hash_.update(kept.data(), kept.size());
  check(text.size() < known.bytes || known.bytes == 0 || hash_.hex_so_far() == known.sha256,
        "{}: is damaged (its checksum is another); delete it: the run goes on, without the curves of what is "
        "done",
        path_.string());
  bytes_ = kept.size();
  check(::ftruncate(file_, static_cast<off_t>(bytes_)) == 0 && ::lseek(file_, 0, SEEK_END) >= 0,
        "{}: cannot be cut back: {}", path_.string(), std::strerror(errno));
}

void RunLog::sync() {
  if (buffer_.empty()) return;
  std::size_t written = 0;
  while (written < buffer_.size()) {
    const ssize_t count = ::write(file_, buffer_.data() + written, buffer_.size() - written);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail_write(path_.string(), bytes_ + written, errno);
    written += static_cast<std::size_t>(count);
  }
  // What the disk did not take, state.json must not count.
  if (::fdatasync(file_) != 0 && errno != EINVAL && errno != ENOSYS)
    fail_write(path_.string(), bytes_ + written, errno);
  hash_.update(buffer_.data(), buffer_.size());
  bytes_ += written;
  buffer_.clear();
}

}  // namespace mt::train
