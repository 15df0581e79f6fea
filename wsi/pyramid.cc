#include "wsi/pyramid.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "tensor/check.h"
#include "wsi/codecs/codec.h"
#include "wsi/resample.h"

namespace mt::wsi {
namespace {

bool is_missing(const TiffDirectory& directory, int64_t index) {
  const auto i = static_cast<std::size_t>(index);
  return directory.offsets[i] == 0 || directory.byte_counts[i] == 0;
}

/// Mean of both axes' ratios, as OpenSlide has it.
double downsample_of(const Level& finest, const Level& level) {
  const double x = static_cast<double>(finest.width) / static_cast<double>(level.width);
  const double y = static_cast<double>(finest.height) / static_cast<double>(level.height);
  return (x + y) / 2;
}

template <int Channels>
void copy_row(const uint8_t* rgb, int64_t pixels, uint8_t* out) {
  if constexpr (Channels == 3) {
    std::memcpy(out, rgb, static_cast<std::size_t>(pixels) * 3);
  } else {
    for (int64_t i = 0; i < pixels; ++i) {
      std::memcpy(out + i * 4, rgb + i * 3, 3);
      out[i * 4 + 3] = 255;
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
  for (LevelSource& source : facts_.levels) {
    if (source.level.downsample <= 0)
      source.level.downsample = downsample_of(facts_.levels[0].level, source.level);
    levels_.push_back(source.level);
  }
  for (int level = 0; level < static_cast<int>(levels_.size()); ++level) check_level(level);
}

void Pyramid::check_level(int level) const {
  const LevelSource& source = facts_.levels[static_cast<std::size_t>(level)];
  const TiffDirectory& directory = *source.directory;
  try {
    check_decodable(directory);
  } catch (const Error& error) {
    fail("level {}: {}", level, error.what());
  }
  check(source.level.width >= 1 && source.level.height >= 1 && source.level.width <= directory.width &&
            source.level.height <= directory.height,
        "level {}: {}x{} pixels in an image of {}x{}", level, source.level.width, source.level.height,
        directory.width, directory.height);
  check(directory.chunk_width * directory.chunk_height <= max_image_pixels_,
        "level {}: tiles of {}x{} pixels; at most {} pixels are allowed", level, directory.chunk_width,
        directory.chunk_height, max_image_pixels_);
  for (std::size_t i = 0; i < directory.offsets.size(); ++i) {
    check(is_missing(directory, static_cast<int64_t>(i)) ||
              file_->bytes().holds(directory.offsets[i], directory.byte_counts[i]),
          "level {}: tile {} ({} bytes at {}) lies behind the end of the file ({} bytes); the file is "
          "truncated",
          level, i, directory.byte_counts[i], directory.offsets[i], file_->bytes().size());
  }
}

template <int Channels>
void Pyramid::read(int level, const LevelRect& rect, uint8_t* out) const {
  const LevelSource& source = facts_.levels[static_cast<std::size_t>(level)];
  const int64_t tile_width = source.directory->chunk_width, tile_height = source.directory->chunk_height;
  const int64_t x0 = std::max<int64_t>(rect.x, 0), x1 = std::min(rect.x + rect.width, source.level.width);
  const int64_t y0 = std::max<int64_t>(rect.y, 0), y1 = std::min(rect.y + rect.height, source.level.height);
  if (x1 - x0 != rect.width || y1 - y0 != rect.height) {
    fill<Channels>(out, rect.width * rect.height, facts_.background);
  }
  if (x0 >= x1 || y0 >= y1) return;
  for (int64_t row = y0 / tile_height; row * tile_height < y1; ++row) {
    for (int64_t column = x0 / tile_width; column * tile_width < x1; ++column) {
      const TilePixels pixels = tile(level, column, row);
      const int64_t left = std::max(x0, column * tile_width), right = std::min(x1, (column + 1) * tile_width);
      const int64_t top = std::max(y0, row * tile_height), bottom = std::min(y1, (row + 1) * tile_height);
      for (int64_t y = top; y < bottom; ++y) {
        uint8_t* to = out + ((y - rect.y) * rect.width + left - rect.x) * Channels;
        const int64_t from = (y - row * tile_height) * tile_width + left - column * tile_width;
        if (pixels) {
          copy_row<Channels>(pixels->data() + from * 3, right - left, to);
        } else {
          fill<Channels>(to, right - left, facts_.background);
        }
      }
    }
  }
}

template void Pyramid::read<3>(int, const LevelRect&, uint8_t*) const;
template void Pyramid::read<4>(int, const LevelRect&, uint8_t*) const;

TilePixels Pyramid::tile(int level, int64_t column, int64_t row) const {
  const TiffDirectory& directory = *facts_.levels[static_cast<std::size_t>(level)].directory;
  const int64_t index = row * directory.chunks_across() + column;
  const bool missing = is_missing(directory, index);
  if (missing && facts_.missing_tile == MissingTile::background) return nullptr;
  const TileKey key{slide_id_, static_cast<uint32_t>(level), static_cast<uint32_t>(index)};
  if (TilePixels cached = cache_->find(key)) return cached;
  TilePixels pixels = missing ? substitute_tile(level, column, row) : decode_tile(level, index);
  if (pixels) cache_->insert(key, pixels);
  return pixels;
}

TilePixels Pyramid::decode_tile(int level, int64_t index) const {
  const TiffDirectory& directory = *facts_.levels[static_cast<std::size_t>(level)].directory;
  const auto i = static_cast<std::size_t>(index);
  try {
    const std::vector<uint8_t> data = file_->bytes().read(directory.offsets[i], directory.byte_counts[i]);
    const auto size = static_cast<std::size_t>(directory.chunk_width * directory.chunk_height * 3);
    auto pixels = std::make_shared<std::vector<uint8_t>>(size);  // (H,W,3)
    decode_chunk(directory, data, directory.chunk_height, *pixels);
    return pixels;
  } catch (const Error& error) {
    fail("{}: level {}, tile {} (column {}, row {}): {}", path(), level, index,
         index % directory.chunks_across(), index / directory.chunks_across(), error.what());
  }
}

bool Pyramid::has_all_tiles(int level, const LevelRect& rect) const {
  const TiffDirectory& directory = *facts_.levels[static_cast<std::size_t>(level)].directory;
  const int64_t last_column = (rect.x + rect.width - 1) / directory.chunk_width;
  const int64_t last_row = (rect.y + rect.height - 1) / directory.chunk_height;
  for (int64_t row = rect.y / directory.chunk_height; row <= last_row; ++row) {
    for (int64_t column = rect.x / directory.chunk_width; column <= last_column; ++column) {
      if (is_missing(directory, row * directory.chunks_across() + column)) return false;
    }
  }
  return true;
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
      !has_all_tiles(other, rect)) {
    return nullptr;
  }
  RgbImage region(rect.width, rect.height);
  read<3>(other, rect, region.pixels.data());
  // The last pixel of an odd level may reach past the finer one: then it repeats the last that is there.
  const int64_t reach_x = std::min(
      width, static_cast<int64_t>(std::ceil((static_cast<double>(rect.x + rect.width) - left) / scale)));
  const int64_t reach_y = std::min(
      height, static_cast<int64_t>(std::ceil((static_cast<double>(rect.y + rect.height) - top) / scale)));
  const RgbImage scaled = resample_area(region, left - static_cast<double>(rect.x),
                                        top - static_cast<double>(rect.y), scale, scale, reach_x, reach_y);
  auto pixels = std::make_shared<std::vector<uint8_t>>(
      static_cast<std::size_t>(tile_width * tile_height * 3));  // (H,W,3)
  for (int64_t j = 0; j < height; ++j) {
    for (int64_t i = 0; i < width; ++i) {
      std::memcpy(pixels->data() + (j * tile_width + i) * 3,
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
  std::vector<uint8_t> chunk(
      static_cast<std::size_t>(directory.chunk_width * directory.chunk_height * 3));  // (H,W,3)
  for (int64_t index = 0; index < across * directory.chunks_down(); ++index) {
    if (is_missing(directory, index)) continue;
    const int64_t x = index % across * directory.chunk_width, y = index / across * directory.chunk_height;
    const int64_t width = std::min(directory.chunk_width, directory.width - x);
    const int64_t rows = std::min(directory.chunk_height, directory.height - y);
    const int64_t coded_rows = directory.tiled ? directory.chunk_height : rows;
    const auto i = static_cast<std::size_t>(index);
    const std::vector<uint8_t> data = file_->bytes().read(directory.offsets[i], directory.byte_counts[i]);
    decode_chunk(directory, data, coded_rows,
                 std::span(chunk).first(static_cast<std::size_t>(directory.chunk_width * coded_rows * 3)));
    for (int64_t row = 0; row < rows; ++row) {
      copy_row<3>(chunk.data() + row * directory.chunk_width * 3, width, image.at(x, y + row));
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
