#include "tensor/io/seal.h"

#include <algorithm>

#include "tensor/check.h"
#include "tensor/io/input_file.h"
#include "tensor/io/sha256.h"

namespace mt {
namespace {

constexpr std::size_t kDigits = 64;
constexpr std::size_t kHeadBytes = std::size_t{1} << 16;  // where a seal may stand: here,
constexpr std::size_t kTailBytes = 256;                   // or here
constexpr std::size_t kBlockBytes = std::size_t{1} << 20;
constexpr std::size_t kNowhere = std::string::npos;

bool is_hex(std::string_view text) {
  return text.size() == kDigits && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

/// Where the digits behind `mark` begin in `text`, which is the head or the tail of a file.
std::size_t find_digits(std::string_view text, std::string_view mark) {
  const std::size_t at = text.find(mark);
  if (at == kNowhere || !is_hex(text.substr(at + mark.size(), kDigits))) return kNowhere;
  return at + mark.size();
}

/// Offset of the digits in a file of `size` bytes of which read(offset, bytes) gives a piece.
template <typename Read>
uint64_t digits_at(uint64_t size, const Read& read, std::string_view mark) {
  const std::string head = read(0, std::min<uint64_t>(size, kHeadBytes));
  if (const std::size_t at = find_digits(head, mark); at != kNowhere) return at;
  const uint64_t tail_bytes = std::min<uint64_t>(size, kTailBytes);
  const std::size_t at = find_digits(read(size - tail_bytes, tail_bytes), mark);
  return at == kNowhere ? kNowhere : size - tail_bytes + at;
}

template <typename Read>
std::string check_pieces(uint64_t size, const Read& read, const std::string& path, std::string_view remedy) {
  const uint64_t at = digits_at(size, read, kSealMark);
  check(at != kNowhere, "{}: carries no checksum, so it is damaged, or no file of this program; {}", path,
        remedy);
  const std::string digits = read(at, kDigits);
  Sha256 hash;
  for (uint64_t begin = 0; begin < size; begin += kBlockBytes) {
    std::string block = read(begin, std::min<uint64_t>(kBlockBytes, size - begin));
    const uint64_t first = std::max(begin, at);
    const uint64_t last = std::min(begin + block.size(), at + kDigits);
    if (first < last)
      std::fill_n(block.begin() + static_cast<std::ptrdiff_t>(first - begin), last - first, '0');
    hash.update(block.data(), block.size());
  }
  check(hash.hex() == digits, "{}: is damaged (its checksum is another); {}", path, remedy);
  return digits;
}

std::string read_mark(const std::string& path, std::string_view mark) {
  const InputFile file(path);
  const auto read = [&](uint64_t offset, uint64_t bytes) { return file.read_at(offset, bytes, "the file"); };
  const uint64_t at = digits_at(file.size(), read, mark);
  return at == kNowhere ? std::string() : read(at, kDigits);
}

}  // namespace

std::string blank_seal() {
  return std::string(kSealMark) + std::string(kDigits, '0');
}

std::string sealed(std::string content) {
  const std::size_t at = content.find(blank_seal());
  check(at != kNowhere, "seal: the content holds no blank seal");
  content.replace(at + kSealMark.size(), kDigits, sha256(content));
  return content;
}

std::string check_seal(const std::string& path, std::string_view remedy) {
  const InputFile file(path);
  const auto read = [&](uint64_t offset, uint64_t bytes) { return file.read_at(offset, bytes, "the file"); };
  return check_pieces(file.size(), read, path, remedy);
}

std::string check_seal(std::string_view content, const std::string& path, std::string_view remedy) {
  const auto read = [&](uint64_t offset, uint64_t bytes) {
    return std::string(content.substr(offset, bytes));
  };
  return check_pieces(content.size(), read, path, remedy);
}

std::string read_made_from(const std::string& path) {
  return read_mark(path, kMadeFromMark);
}

std::string read_seal(const std::string& path) {
  return read_mark(path, kSealMark);
}

}  // namespace mt
