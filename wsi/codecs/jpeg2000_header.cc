#include "wsi/codecs/jpeg2000_header.h"

#include <algorithm>

#include "tensor/check.h"

namespace mt::wsi {
namespace {

// Markers of the main header (table A.2).
constexpr uint64_t kStart = 0xFF4F, kSize = 0xFF51, kCodingStyle = 0xFF52, kComponentStyle = 0xFF53,
                   kTilePart = 0xFF90, kProgression = 0xFF5F;

constexpr int64_t kMostTiles = 1024;
constexpr int64_t kMostLayers = 1024;
constexpr int64_t kSmallestPrecinct = 5;  // log2 of its side; 32 pixels
constexpr int64_t kSmallestBlock = 4;     // log2 of its side; 16 samples

/// Reads big-endian numbers; behind the end is an Error.
class Reader {
 public:
  explicit Reader(std::span<const uint8_t> data) : data_(data) {}
  uint64_t number(std::size_t bytes) {
    check(bytes <= data_.size() - at_, "JPEG 2000: the data ends in its header");
    uint64_t value = 0;
    for (std::size_t i = 0; i < bytes; ++i) value = value << 8 | data_[at_++];
    return value;
  }
  std::span<const uint8_t> part(std::size_t bytes) {
    check(bytes <= data_.size() - at_, "JPEG 2000: the data ends in its header");
    at_ += bytes;
    return data_.subspan(at_ - bytes, bytes);
  }
  bool at_end() const { return at_ == data_.size(); }

 private:
  std::span<const uint8_t> data_;
  std::size_t at_ = 0;
};

int64_t divided_up(int64_t value, int64_t by) {
  return (value + by - 1) / by;
}

/// SIZ: the size of picture, tiles and components.
Jpeg2000Header read_size(std::span<const uint8_t> segment) {
  Reader reader(segment);
  reader.number(2);  // capabilities
  const auto edge = [&] { return static_cast<int64_t>(reader.number(4)); };
  const int64_t right = edge(), bottom = edge(), left = edge(), top = edge();
  const int64_t tile_width = edge(), tile_height = edge(), tile_left = edge(), tile_top = edge();
  check(left == 0 && top == 0 && tile_left == 0 && tile_top == 0,
        "JPEG 2000: a picture that does not begin at 0, 0 is not supported");
  check(right > 0 && bottom > 0 && tile_width > 0 && tile_height > 0, "JPEG 2000: an empty picture");
  check(divided_up(right, tile_width) <= kMostTiles / std::min(kMostTiles, divided_up(bottom, tile_height)),
        "JPEG 2000: tiles of {}x{} in a picture of {}x{} are too many", tile_width, tile_height, right,
        bottom);
  Jpeg2000Header header{right, bottom, {}};
  const uint64_t components = reader.number(2);
  check(components >= 1 && components <= 4, "JPEG 2000: {} colour components", components);
  for (uint64_t c = 0; c < components; ++c) {
    const uint64_t bits = (reader.number(1) & 0x7F) + 1;
    check(bits == 8, "JPEG 2000: {} bits a sample are not supported, only 8", bits);
    const auto step_x = static_cast<int64_t>(reader.number(1)),
               step_y = static_cast<int64_t>(reader.number(1));
    check(step_x >= 1 && step_x <= 4 && step_y >= 1 && step_y <= 4,
          "JPEG 2000: samples {}x{} pixels apart are not supported", step_x, step_y);
    header.components.push_back({step_x, step_y});
  }
  return header;
}

/// The part of COD and COC that says how a component is divided.
void check_division(Reader& reader, bool has_precincts) {
  const uint64_t levels = reader.number(1);
  check(levels <= 32, "JPEG 2000: {} levels of decomposition", levels);
  const auto block_width = static_cast<int64_t>(reader.number(1)) + 2,
             block_height = static_cast<int64_t>(reader.number(1)) + 2;
  check(block_width >= kSmallestBlock && block_height >= kSmallestBlock && block_width + block_height <= 12,
        "JPEG 2000: code blocks of 2^{} x 2^{} samples are not supported", block_width, block_height);
  reader.number(2);  // style of the blocks, and the wavelet
  if (!has_precincts) return;
  for (uint64_t level = 0; level <= levels; ++level) {
    const uint64_t sides = reader.number(1);
    const auto width = static_cast<int64_t>(sides & 0xF), height = static_cast<int64_t>(sides >> 4);
    check(width >= kSmallestPrecinct && height >= kSmallestPrecinct,
          "JPEG 2000: precincts of 2^{} x 2^{} samples are not supported", width, height);
  }
}

void check_coding_style(std::span<const uint8_t> segment) {
  Reader reader(segment);
  const bool has_precincts = (reader.number(1) & 1) != 0;
  reader.number(1);  // order of progression
  const auto layers = static_cast<int64_t>(reader.number(2));
  check(layers >= 1 && layers <= kMostLayers, "JPEG 2000: {} layers are not supported", layers);
  reader.number(1);  // colour transform
  check_division(reader, has_precincts);
}

void check_component_style(std::span<const uint8_t> segment) {
  Reader reader(segment);
  reader.number(1);  // which component: there are fewer than 257
  const bool has_precincts = (reader.number(1) & 1) != 0;
  check_division(reader, has_precincts);
}

/// Coding styles of single tiles would have to be checked where they stand; nobody writes them.
void check_tile_header(Reader& reader) {
  reader.number(2);  // length of the segment
  reader.part(8);    // which tile, how long
  const uint64_t next = reader.number(2);
  check(next != kCodingStyle && next != kComponentStyle && next != kProgression,
        "JPEG 2000: coding styles of single tiles are not supported");
}

}  // namespace

std::span<const uint8_t> jpeg2000_codestream(std::span<const uint8_t> data) {
  const auto begins = [](std::span<const uint8_t> part) {
    return part.size() >= 4 && part[0] == 0xFF && part[1] == 0x4F && part[2] == 0xFF && part[3] == 0x51;
  };
  if (begins(data)) return data;
  Reader boxes(data);
  while (!boxes.at_end()) {
    const uint64_t size = boxes.number(4), type = boxes.number(4);
    constexpr uint64_t kCodestreamBox = 0x6A703263;  // "jp2c"
    if (type == kCodestreamBox) {
      const std::size_t rest = data.size() - static_cast<std::size_t>(boxes.part(0).data() - data.data());
      const std::span<const uint8_t> stream =
          boxes.part(size >= 8 ? std::min<std::size_t>(size - 8, rest) : rest);
      if (begins(stream)) return stream;
      break;
    }
    check(size >= 8, "JPEG 2000: no codestream in it");
    boxes.part(size - 8);
  }
  fail("JPEG 2000: no codestream in it");
}

Jpeg2000Header read_jpeg2000_header(std::span<const uint8_t> codestream) {
  Reader reader(codestream);
  check(reader.number(2) == kStart && reader.number(2) == kSize,
        "JPEG 2000: does not begin like a codestream");
  const auto segment = [&] {
    const uint64_t length = reader.number(2);
    check(length >= 2, "JPEG 2000: a damaged header");
    return reader.part(length - 2);
  };
  const Jpeg2000Header header = read_size(segment());
  bool has_style = false;
  while (true) {
    const uint64_t marker = reader.number(2);
    if (marker == kTilePart) break;
    check(marker > 0xFF4F && marker <= 0xFF92, "JPEG 2000: a damaged header");
    const std::span<const uint8_t> content = segment();
    if (marker == kCodingStyle) check_coding_style(content);
    if (marker == kComponentStyle) check_component_style(content);
    has_style = has_style || marker == kCodingStyle;
  }
  check(has_style, "JPEG 2000: its header does not say how it is coded");
  check_tile_header(reader);
  return header;
}

}  // namespace mt::wsi
