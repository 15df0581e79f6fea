#include "wsi/pyramid.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "tensor/check.h"
#include "wsi/codecs/codec.h"
#include "wsi/resample.h"
#include "wsi/tile_error.h"

namespace mt::wsi {
namespace {

bool is_missing(const TiffDirectory& directory, int64_t index) {
  for (int64_t plane = 0; plane < directory.planes(); ++plane) {
    const auto i = static_cast<std::size_t>(plane * directory.chunks() + index);
    if (directory.offsets[i] == 0 || directory.byte_counts[i] == 0) return true;
  }
  return false;
}

/// Mean of both axes' ratios, as OpenSlide has it.
double downsample_of(const Level& finest, const Level& level) {
  const double x = static_cast<double>(finest.width) / static_cast<double>(level.width);
  const double y = static_cast<double>(finest.height) / static_cast<double>(level.height);
  return (x + y) / 2;
}

/// Colours with alpha over an opaque background.
uint8_t blended(uint8_t colour, uint8_t alpha, uint8_t background) {
  return static_cast<uint8_t>((colour * alpha + background * (255 - alpha) + 127) / 255);
}

/// `from` has 3 channels, or 4 with alpha.
template <int Channels>
void copy_row(const uint8_t* from, int from_channels, int64_t pixels, const Colour& background,
              uint8_t* out) {
  if (from_channels == Channels) {
    std::memcpy(out, from, static_cast<std::size_t>(pixels * Channels));
    return;
  }
  for (int64_t i = 0; i < pixels; ++i, from += from_channels, out += Channels) {
    if constexpr (Channels == 4) {
      std::memcpy(out, from, 3);
      out[3] = 255;
    } else {
      for (std::size_t c = 0; c < 3; ++c) out[c] = blended(from[c], from[3], background[c]);
    }
  }
}

template <int Channels>
void fill(uint8_t* out, int64_t pixels, const Colour& colour) {
  for (int64_t i = 0; i < pixels; ++i) {
    std::memcpy(out + i * Channels, colour.data(), 3);
    if constexpr (Channels == 4) out[i * 4 + 3] = 0;
  }
}

}  // namespace

Pyramid::Pyramid(std::unique_ptr<TiffFile> file, std::string dialect, Facts facts, const OpenOptions& options)
    : file_(std::move(file)),
      dialect_(std::move(dialect)),
      facts_(std::move(facts)),
      max_image_pixels_(options.max_image_pixels),
      cache_(options.cache ? options.cache : TileCache::shared()),
      slide_id_(TileCache::next_slide_id()) {
  check(!facts_.levels.empty(), "no image in it is tiled");
  leave_out_unsupported_levels();
  for (std::size_t level = 0; level < facts_.levels.size(); ++level) {
    LevelSource& source = facts_.levels[level];
    check_complete(*source.directory, level);
    if (source.level.downsample <= 0)
      source.level.downsample = downsample_of(facts_.levels[0].level, source.level);
    levels_.push_back(source.level);
  }
  note_missing_tiles();
}

void Pyramid::leave_out_unsupported_levels() {
  std::vector<LevelSource> supported;
  for (const LevelSource& source : facts_.levels) {
    try {
      check_supported(source);
      supported.push_back(source);
    } catch (const Error& error) {
      if (supported.empty()) fail("level 0: {}", error.what());
      facts_.notes.push_back(fmt::format("the level of {} x {} pixels is left out: {}", source.level.width,
                                         source.level.height, error.what()));
    }
  }
  facts_.levels = std::move(supported);
}

void Pyramid::check_supported(const LevelSource& source) const {
  const TiffDirectory& directory = *source.directory;
  check_decodable(directory);
  check(source.level.width >= 1 && source.level.height >= 1 && source.level.width <= directory.width &&
            source.level.height <= directory.height,
        "{}x{} pixels in an image of {}x{}", source.level.width, source.level.height, directory.width,
        directory.height);
  check(directory.chunk_width * directory.chunk_height <= max_image_pixels_,
        "tiles of {}x{} pixels; at most {} pixels are allowed", directory.chunk_width, directory.chunk_height,
        max_image_pixels_);
  constexpr uint64_t kBeginning = 1 << 16;
  for (int64_t index = 0; index < directory.chunks(); ++index) {
    const auto i = static_cast<std::size_t>(index);
    const uint64_t bytes = std::min(directory.byte_counts[i], kBeginning);
    if (is_missing(directory, index) || !file_->bytes().holds(directory.offsets[i], bytes)) continue;
    check_chunk_kind(directory, file_->bytes().read(directory.offsets[i], bytes));
    break;
  }
}

void Pyramid::check_complete(const TiffDirectory& directory, std::size_t level) const {
  for (std::size_t i = 0; i < directory.offsets.size(); ++i) {
    check(directory.offsets[i] == 0 || directory.byte_counts[i] == 0 ||
              file_->bytes().holds(directory.offsets[i], directory.byte_counts[i]),
          "level {}: tile {} ({} bytes at {}) lies behind the end of the file ({} bytes); the file is "
          "truncated",
          level, i, directory.byte_counts[i], directory.offsets[i], file_->bytes().size());
  }
}

int64_t Pyramid::missing_tiles(int level) const {
  int64_t missing = 0;
  for (int64_t index = 0; index < tile_count(level); ++index)
    missing += is_missing(directory(level), index) ? 1 : 0;
  return missing;
}

/// Bare glass is no fault; a tile that shows another level is sharper or coarser than the user expects.
void Pyramid::note_missing_tiles() {
  if (facts_.missing_tile == MissingTile::background) return;
  const int64_t missing = missing_tiles(0);
  if (missing == 0) return;
  facts_.notes.push_back(fmt::format("level 0 lacks {} of its {} tiles; {}", missing, tile_count(0),
                                     levels_.size() > 1
                                         ? "they are magnified from level 1, so they are blurred"
                                         : "they show the background"));
}

template <int Channels>
void Pyramid::read(int level, const LevelRect& rect, uint8_t* out) const {
  read_tiles<Channels>(level, rect, Tiles::stored_or_substitute, out);
}

template void Pyramid::read<3>(int, const LevelRect&, uint8_t*) const;
template void Pyramid::read<4>(int, const LevelRect&, uint8_t*) const;

template <int Channels>
void Pyramid::read_tiles(int level, const LevelRect& rect, Tiles tiles, uint8_t* out) const {
  const LevelSource& source = facts_.levels[static_cast<std::size_t>(level)];
  const int64_t tile_width = source.directory->chunk_width, tile_height = source.directory->chunk_height;
  const int channels = decoded_channels(*source.directory);
  const int64_t x0 = std::max<int64_t>(rect.x, 0), x1 = std::min(rect.x + rect.width, source.level.width);
  const int64_t y0 = std::max<int64_t>(rect.y, 0), y1 = std::min(rect.y + rect.height, source.level.height);
  if (x1 - x0 != rect.width || y1 - y0 != rect.height) {
    fill<Channels>(out, rect.width * rect.height, facts_.background);
  }
  if (x0 >= x1 || y0 >= y1) return;
  for (int64_t row = y0 / tile_height; row * tile_height < y1; ++row) {
    for (int64_t column = x0 / tile_width; column * tile_width < x1; ++column) {
      const TilePixels pixels = tile(level, column, row, tiles);
      const int64_t left = std::max(x0, column * tile_width), right = std::min(x1, (column + 1) * tile_width);
      const int64_t top = std::max(y0, row * tile_height), bottom = std::min(y1, (row + 1) * tile_height);
      for (int64_t y = top; y < bottom; ++y) {
        uint8_t* to = out + ((y - rect.y) * rect.width + left - rect.x) * Channels;
        const int64_t from = (y - row * tile_height) * tile_width + left - column * tile_width;
        if (pixels) {
          copy_row<Channels>(pixels->data() + from * channels, channels, right - left, facts_.background, to);
        } else {
          fill<Channels>(to, right - left, facts_.background);
        }
      }
    }
  }
}

TilePixels Pyramid::tile(int level, int64_t column, int64_t row, Tiles tiles) const {
  const int64_t index = row * directory(level).chunks_across() + column;
  const bool missing = is_missing(directory(level), index);
  if (missing && (facts_.missing_tile == MissingTile::background || tiles == Tiles::stored)) return nullptr;
  const TileKey key{slide_id_, static_cast<uint32_t>(level), static_cast<uint32_t>(index)};
  if (TilePixels cached = cache_->find(key)) return cached;
  TilePixels pixels = missing ? substitute_tile(level, column, row) : decode_tile(level, index);
  if (pixels) cache_->insert(key, pixels);
  return pixels;
}

std::vector<std::vector<uint8_t>> Pyramid::chunk_bytes(const TiffDirectory& directory, int64_t index) const {
  std::vector<std::vector<uint8_t>> planes;
  for (int64_t plane = 0; plane < directory.planes(); ++plane) {
    const auto i = static_cast<std::size_t>(plane * directory.chunks() + index);
    planes.push_back(file_->bytes().read(directory.offsets[i], directory.byte_counts[i]));
  }
  return planes;
}

TilePixels Pyramid::decode_tile(int level, int64_t index) const {
  const TiffDirectory& source = directory(level);
  try {
    const auto size =
        static_cast<std::size_t>(source.chunk_width * source.chunk_height * decoded_channels(source));
    auto pixels = std::make_shared<std::vector<uint8_t>>(size);  // (H,W,channels)
    decode_chunk(source, chunk_bytes(source, index), source.chunk_height, *pixels);
    return pixels;
  } catch (const Error& error) {
    const int64_t column = index % source.chunks_across(), row = index / source.chunks_across();
    const double downsample = levels_[static_cast<std::size_t>(level)].downsample;
    const double width = static_cast<double>(source.chunk_width) * downsample,
                 height = static_cast<double>(source.chunk_height) * downsample;
    const double x = static_cast<double>(column) * width, y = static_cast<double>(row) * height;
    throw TileError(
        fmt::format("{}: level {}, tile {} (column {}, row {}; {:.0f} x {:.0f} level-0 pixels at {:.0f}, "
                    "{:.0f}): {}",
                    path(), level, index, column, row, width, height, x, y, error.what()),
        level, x, y, width, height);
  }
}

bool Pyramid::has_stored_tile(int level, const LevelRect& rect) const {
  const TiffDirectory& source = directory(level);
  const int64_t x0 = std::max<int64_t>(rect.x, 0), y0 = std::max<int64_t>(rect.y, 0);
  const int64_t x1 = std::min(rect.x + rect.width, source.width),
                y1 = std::min(rect.y + rect.height, source.height);
  if (x0 >= x1 || y0 >= y1) return false;
  for (int64_t row = y0 / source.chunk_height; row * source.chunk_height < y1; ++row) {
    for (int64_t column = x0 / source.chunk_width; column * source.chunk_width < x1; ++column) {
      if (!is_missing(source, row * source.chunks_across() + column)) return true;
    }
  }
  return false;
}

bool Pyramid::shows_background_only(int level, const LevelRect& rect) const {
  if (has_stored_tile(level, rect)) return false;
  const int other = level > 0 ? level - 1 : 1;
  if (facts_.missing_tile == MissingTile::background || other >= static_cast<int>(levels_.size()))
    return true;
  // Whole tiles of this level may be made from what lies under them in the other one.
  const double scale = levels_[static_cast<std::size_t>(level)].downsample /
                       levels_[static_cast<std::size_t>(other)].downsample;
  const auto scaled = [&](int64_t value) { return static_cast<int64_t>(static_cast<double>(value) * scale); };
  const int64_t margin_x = directory(level).chunk_width + 2, margin_y = directory(level).chunk_height + 2;
  return !has_stored_tile(
      other, {scaled(rect.x - margin_x), scaled(rect.y - margin_y), scaled(rect.width + 2 * margin_x) + 2,
              scaled(rect.height + 2 * margin_y) + 2});
}

TilePixels Pyramid::substitute_tile(int level, int64_t column, int64_t row) const {
  const LevelSource& target = facts_.levels[static_cast<std::size_t>(level)];
  const int other = level > 0 ? level - 1 : 1;
  if (other >= static_cast<int>(levels_.size())) return nullptr;
  const Level& source = levels_[static_cast<std::size_t>(other)];
  const int64_t tile_width = target.directory->chunk_width, tile_height = target.directory->chunk_height;
  const int64_t x = column * tile_width, y = row * tile_height;
  const int64_t width = std::min(tile_width, target.level.width - x),
                height = std::min(tile_height, target.level.height - y);
  if (width <= 0 || height <= 0) return nullptr;
  const double scale = target.level.downsample / source.downsample;  // source pixels per pixel of this level
  const double left = static_cast<double>(x) * scale, top = static_cast<double>(y) * scale;
  LevelRect rect{static_cast<int64_t>(left), static_cast<int64_t>(top), 0, 0};
  rect.width =
      std::min(static_cast<int64_t>(std::ceil(left + static_cast<double>(width) * scale)), source.width) -
      rect.x;
  rect.height =
      std::min(static_cast<int64_t>(std::ceil(top + static_cast<double>(height) * scale)), source.height) -
      rect.y;
  if (rect.width <= 0 || rect.height <= 0 || rect.width > max_image_pixels_ / rect.height ||
      !has_stored_tile(other, rect)) {
    return nullptr;
  }
  RgbImage region(rect.width, rect.height);
  read_tiles<3>(other, rect, Tiles::stored, region.pixels.data());
  // The last pixel of an odd level may reach past the finer one: then it repeats the last that is there.
  const int64_t reach_x = std::min(
      width, static_cast<int64_t>(std::ceil((static_cast<double>(rect.x + rect.width) - left) / scale)));
  const int64_t reach_y = std::min(
      height, static_cast<int64_t>(std::ceil((static_cast<double>(rect.y + rect.height) - top) / scale)));
  const RgbImage scaled = resample_area(region, left - static_cast<double>(rect.x),
                                        top - static_cast<double>(rect.y), scale, scale, reach_x, reach_y);
  const int channels = decoded_channels(*target.directory);
  auto pixels = std::make_shared<std::vector<uint8_t>>(
      static_cast<std::size_t>(tile_width * tile_height * channels), uint8_t{255});  // (H,W,channels)
  for (int64_t j = 0; j < height; ++j) {
    for (int64_t i = 0; i < width; ++i) {
      std::memcpy(pixels->data() + (j * tile_width + i) * channels,
                  scaled.at(std::min(i, reach_x - 1), std::min(j, reach_y - 1)), 3);
    }
  }
  return pixels;
}

RgbImage Pyramid::read_image(const TiffDirectory& directory) const {
  check_decodable(directory);
  check(directory.width <= max_image_pixels_ / directory.height &&
            directory.chunk_width <= max_image_pixels_ / directory.chunk_height,
        "{}x{} pixels; at most {} pixels are allowed", directory.width, directory.height, max_image_pixels_);
  RgbImage image(directory.width, directory.height, 255);
  const int64_t across = directory.chunks_across();
  const int channels = decoded_channels(directory);
  std::vector<uint8_t> chunk(
      static_cast<std::size_t>(directory.chunk_width * directory.chunk_height * channels));  // (H,W,channels)
  for (int64_t index = 0; index < directory.chunks(); ++index) {
    if (is_missing(directory, index)) continue;
    const int64_t x = index % across * directory.chunk_width, y = index / across * directory.chunk_height;
    const int64_t width = std::min(directory.chunk_width, directory.width - x);
    const int64_t rows = std::min(directory.chunk_height, directory.height - y);
    const int64_t coded_rows = directory.tiled ? directory.chunk_height : rows;
    const auto size = static_cast<std::size_t>(directory.chunk_width * coded_rows * channels);
    decode_chunk(directory, chunk_bytes(directory, index), coded_rows, std::span(chunk).first(size));
    for (int64_t row = 0; row < rows; ++row) {
      copy_row<3>(chunk.data() + row * directory.chunk_width * channels, channels, width, {255, 255, 255},
                  image.at(x, y + row));
    }
  }
  return image;
}

RgbImage Pyramid::associated(const std::string& name) const {
  const auto found = facts_.associated.find(name);
  check(found != facts_.associated.end(), "{}: has no associated image '{}'", path(), name);
  try {
    if (const auto* directory = std::get_if<const TiffDirectory*>(&found->second))
      return read_image(**directory);
    return decode_jpeg_file(std::get<std::vector<uint8_t>>(found->second), max_image_pixels_);
  } catch (const Error& error) {
    fail("{}: associated image '{}': {}", path(), name, error.what());
  }
}

}  // namespace mt::wsi
