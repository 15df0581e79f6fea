#include "tensor/io/zip_archive.h"

#include <unistd.h>
#include <zip.h>

#include <algorithm>
#include <memory>

#include "tensor/check.h"
#include "tensor/io/input_file.h"

namespace mt {
namespace {

// Deflate cannot expand a byte to more than 1,032 (zlib's technical notes); a larger claim is a lie.
constexpr uint64_t kMostExpansion = 1032;
// Weights and arrays hardly shrink; what a reader keeps of them is bounded by the file.
constexpr uint64_t kMostTimesTheFile = 3;
constexpr uint64_t kAlwaysAllowed = uint64_t{16} << 20;

struct CloseMember {
  void operator()(zip_file_t* file) const { zip_fclose(file); }
};

}  // namespace

ZipArchive::ZipArchive(std::string path) : path_(std::move(path)) {
  int code = 0;
  const int descriptor = open_regular_file(path_, file_bytes_);
  zip_ = zip_fdopen(descriptor, ZIP_CHECKCONS, &code);  // takes the descriptor
  if (zip_ == nullptr) {
    close(descriptor);
    zip_error_t error;
    zip_error_init_with_code(&error, code);
    const std::string reason = zip_error_strerror(&error);
    zip_error_fini(&error);
    fail("{}: cannot be read as a zip file ({}); is it complete?", path_, reason);
  }
  const auto count = static_cast<uint64_t>(std::max<zip_int64_t>(zip_get_num_entries(zip_, 0), 0));
  for (uint64_t i = 0; i < count; ++i) {
    const char* name = zip_get_name(zip_, i, ZIP_FL_ENC_RAW);
    if (name == nullptr) continue;
    names_.emplace_back(name);
    index_.emplace(name, i);
  }
}

ZipArchive::~ZipArchive() {
  zip_discard(zip_);
}

uint64_t ZipArchive::index_of(const std::string& name) const {
  const auto found = index_.find(name);
  check(found != index_.end(), "{}: has no member {}", path_, name);
  return found->second;
}

std::size_t ZipArchive::size(const std::string& name) const {
  zip_stat_t stat;
  check(zip_stat_index(zip_, index_of(name), 0, &stat) == 0 && (stat.valid & ZIP_STAT_SIZE) != 0 &&
            (stat.valid & ZIP_STAT_COMP_SIZE) != 0,
        "{}: member {} has no readable directory entry", path_, name);
  check(stat.size / kMostExpansion <= stat.comp_size, "{}: member {} claims {} bytes in {} compressed ones",
        path_, name, stat.size, stat.comp_size);
  check(stat.size <= kMostTimesTheFile * file_bytes_ + kAlwaysAllowed,
        "{}: member {} claims {} bytes, and the whole file has {}", path_, name, stat.size, file_bytes_);
  return stat.size;
}

void ZipArchive::read(const std::string& name, void* target) const {
  const std::size_t bytes = size(name);
  const std::unique_ptr<zip_file_t, CloseMember> file(zip_fopen_index(zip_, index_of(name), 0));
  check(file != nullptr, "{}: member {} cannot be opened ({})", path_, name, zip_strerror(zip_));
  std::size_t done = 0;
  while (done < bytes) {
    const zip_int64_t got = zip_fread(file.get(), static_cast<char*>(target) + done, bytes - done);
    check(got > 0, "{}: member {} is damaged after {} of {} bytes ({})", path_, name, done, bytes,
          zip_file_strerror(file.get()));
    done += static_cast<std::size_t>(got);
  }
  char beyond = 0;  // the checksum is compared when the end is reached
  check(zip_fread(file.get(), &beyond, 1) == 0, "{}: member {} is damaged ({})", path_, name,
        zip_file_strerror(file.get()));
}

std::string ZipArchive::read(const std::string& name) const {
  std::string content(size(name), '\0');
  read(name, content.data());
  return content;
}

}  // namespace mt
