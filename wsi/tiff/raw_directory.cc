#include "wsi/tiff/raw_directory.h"

#include <array>
#include <vector>

#include "tensor/check.h"

namespace mt::wsi {
namespace {

constexpr uint64_t kMostEntries = 4096;  // libtiff's limit too

/// Bytes of one value of each TIFF type; 0 for types that do not exist.
constexpr std::array<uint64_t, 19> kTypeBytes = {0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8};

bool is_whole_number(uint64_t type) {
  return type == 1 || type == 3 || type == 4 || type == 13 || type == 16 || type == 18;
}

}  // namespace

bool RawTiff::begins_like_tiff(const RandomAccessFile& bytes) {
  if (!bytes.holds(0, 8)) return false;
  const std::vector<uint8_t> begin = bytes.read(0, 4);
  const bool little = begin[0] == 'I' && begin[1] == 'I' && begin[3] == 0;
  const bool big_endian = begin[0] == 'M' && begin[1] == 'M' && begin[2] == 0;
  const uint8_t version = little ? begin[2] : begin[3];
  return (little || big_endian) && (version == 42 || version == 43);
}

RawTiff::RawTiff(const RandomAccessFile& bytes) : bytes_(bytes) {
  check(begins_like_tiff(bytes), "does not begin like a TIFF");
  const std::vector<uint8_t> begin = bytes.read(0, 8);
  big_endian_ = begin[0] == 'M';
  big_ = begin[big_endian_ ? 3 : 2] == 43;
  if (big_) check(bytes.holds(8, 8), "ends in the header of a BigTIFF; is it truncated?");
  first_ = big_ ? number(bytes.read(8, 8).data(), 8) : number(begin.data() + 4, 4);
  check(first_ != 0, "holds no image; did the program that wrote it come to its end?");
}

uint64_t RawTiff::number(const uint8_t* bytes, std::size_t width) const {
  uint64_t value = 0;
  for (std::size_t i = 0; i < width; ++i) value = value << 8 | bytes[big_endian_ ? i : width - 1 - i];
  return value;
}

RawDirectory RawTiff::directory(uint64_t offset) const {
  const std::size_t count_bytes = big_ ? 8 : 2, entry_bytes = big_ ? 20 : 12, link_bytes = big_ ? 8 : 4;
  check(bytes_.holds(offset, count_bytes),
        "its directory lies at byte {}, behind the end of the file ({} bytes)", offset, bytes_.size());
  const uint64_t count = number(bytes_.read(offset, count_bytes).data(), count_bytes);
  check(count <= kMostEntries, "its directory at byte {} claims {} entries; there is none", offset, count);
  const uint64_t size = count * entry_bytes + link_bytes;
  check(bytes_.holds(offset + count_bytes, size),
        "its directory at byte {} reaches behind the end of the file ({} bytes)", offset, bytes_.size());
  const std::vector<uint8_t> entries = bytes_.read(offset + count_bytes, size);
  RawDirectory directory;
  for (uint64_t i = 0; i < count; ++i) add_entry(entries.data() + i * entry_bytes, directory);
  directory.next = number(entries.data() + count * entry_bytes, link_bytes);
  return directory;
}

void RawTiff::add_entry(const uint8_t* entry, RawDirectory& directory) const {
  const std::size_t word = big_ ? 8 : 4;  // of the count and of the value
  const auto tag = static_cast<uint16_t>(number(entry, 2));
  const uint64_t type = number(entry + 2, 2), count = number(entry + 4, word);
  const uint64_t width = type < kTypeBytes.size() ? kTypeBytes[type] : 0;
  if (width == 0) return;
  const uint8_t* value = entry + 4 + word;
  const bool inside = count <= word / width;
  if (!inside) {
    const bool held = count <= bytes_.size() / width && bytes_.holds(number(value, word), count * width);
    directory.complete = directory.complete && held;
    if (held) directory.referred += count * width;
  }
  directory.tags.emplace(tag, inside && count > 0 && is_whole_number(type) ? number(value, width) : 0);
}

}  // namespace mt::wsi
