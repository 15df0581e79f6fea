#include "train/run/fingerprint.h"

#include <algorithm>
#include <chrono>

#include "tensor/check.h"
#include "tensor/io/input_file.h"
#include "tensor/io/sha256.h"

namespace mt::train {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMostWholeTable = uint64_t{1} << 30;  // bytes
constexpr uint64_t kMostWholeSlide = uint64_t{4} << 20;
constexpr uint64_t kEnd = uint64_t{256} << 10;

void add_range(const InputFile& file, uint64_t begin, uint64_t end, Sha256& hash) {
  constexpr uint64_t kBlock = uint64_t{1} << 20;
  for (; begin < end; begin += kBlock) {
    const std::string block = file.read_at(begin, std::min(kBlock, end - begin), "the file");
    hash.update(block.data(), block.size());
  }
}

int64_t seconds_since_1970(fs::file_time_type time) {
  const auto system = std::chrono::file_clock::to_sys(time);
  return std::chrono::duration_cast<std::chrono::seconds>(system.time_since_epoch()).count();
}

}  // namespace

Fingerprint fingerprint_of(const fs::path& path, HashedPart part) {
  Fingerprint print;
  if (path.empty()) return print;
  std::error_code error;
  const fs::path canonical = fs::weakly_canonical(path, error);
  print.path = error ? path.string() : canonical.string();
  if (!fs::is_regular_file(path, error)) return print;
  try {
    const InputFile file(path.string());
    print.bytes = file.size();
    const auto modified = fs::last_write_time(path, error);
    if (!error) print.modified = seconds_since_1970(modified);
    Sha256 hash;
    if (print.bytes <= (part == HashedPart::whole ? kMostWholeTable : kMostWholeSlide)) {
      add_range(file, 0, print.bytes, hash);
    } else {
      add_range(file, 0, kEnd, hash);
      add_range(file, print.bytes - kEnd, print.bytes, hash);
    }
    print.sha256 = hash.hex();
  } catch (const Error&) {
    print.sha256.clear();
  }
  return print;
}

std::string sha256_of_file(const std::string& path) {
  const InputFile file(path);
  Sha256 hash;
  add_range(file, 0, file.size(), hash);
  return hash.hex();
}

}  // namespace mt::train
