// LZW as TIFF 6.0, section 13, has it: codes of 9 to 12 bits, most significant bit first, the width growing
// one code early; 256 clears the table and 257 ends the data.

#include <algorithm>
#include <array>

#include "tensor/check.h"
#include "wsi/codecs/codec.h"

namespace mt::wsi {
namespace {

constexpr int kClear = 256, kEnd = 257, kFirstFree = 258, kTableSize = 4096;

/// Reads codes of a changing width. Behind the end of the data comes kEnd.
class CodeReader {
 public:
  explicit CodeReader(std::span<const uint8_t> data) : data_(data) {}
  int next(int width) {
    while (bits_ < width) {
      if (position_ == data_.size()) return kEnd;
      buffer_ = buffer_ << 8 | data_[position_++];
      bits_ += 8;
    }
    bits_ -= width;
    return static_cast<int>(buffer_ >> bits_ & ((1U << width) - 1));
  }

 private:
  std::span<const uint8_t> data_;
  std::size_t position_ = 0;
  uint32_t buffer_ = 0;  // its low bits_ bits are not used yet
  int bits_ = 0;
};

/// The text of a code, as a place in the output: every text in the table is one that has been written before
/// with the byte that followed it, so nothing needs to be copied into the table.
struct Entry {
  std::size_t start = 0;
  std::size_t length = 0;
};

}  // namespace

void decode_lzw(std::span<const uint8_t> data, std::span<uint8_t> out) {
  check(data.size() < 2 || data[0] != 0 || (data[1] & 1) == 0, "LZW: the old bit order is not supported");
  std::array<Entry, kTableSize> table;
  CodeReader reader(data);
  int width = 9, next_free = kFirstFree;
  Entry previous;  // empty after a clear code
  std::size_t written = 0;
  while (written < out.size()) {
    const int code = reader.next(width);
    if (code == kEnd) break;
    if (code == kClear) {
      width = 9;
      next_free = kFirstFree;
      previous = {};
      continue;
    }
    const std::size_t start = written;
    if (code < kClear) {
      out[written++] = static_cast<uint8_t>(code);
    } else {
      check(previous.length > 0 && code <= next_free,
            "LZW: corrupt data, code {} at byte {} is not in the table", code, written);
      // The code that is just being made is the previous text and the byte behind it: the first byte of
      // itself.
      const Entry text = code == next_free ? Entry{previous.start, previous.length + 1} : table[code];
      const std::size_t bytes = std::min(text.length, out.size() - written);
      for (std::size_t i = 0; i < bytes; ++i)
        out[written + i] = out[text.start + i];  // may overlap: forwards
      written += bytes;
    }
    if (previous.length > 0) {
      check(next_free < kTableSize, "LZW: corrupt data, the table overflows at byte {}", written);
      table[next_free++] = {previous.start, previous.length + 1};
    }
    if (next_free + 1 >= 1 << width && width < 12) ++width;
    previous = {start, written - start};
  }
  check(written == out.size(), "LZW: the data ends after {} of {} bytes", written, out.size());
}

}  // namespace mt::wsi
