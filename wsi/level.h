#pragma once
// What a slide, its dialects and its pyramid all speak of: levels, colours, physical sizes, and how a slide
// is opened.

#include <array>
#include <cstdint>
#include <memory>
#include <optional>

namespace mt::wsi {

class TileCache;

/// One level of the pyramid. Level 0 is the finest; `downsample` is level-0 pixels per pixel of this level.
struct Level {
  int64_t width = 0;
  int64_t height = 0;
  double downsample = 1.0;
};

using Colour = std::array<uint8_t, 3>;

/// Micrometres per pixel that the finest level of a slide can have. What lies outside is the resolution of a
/// screen or a printer (72 dpi = 353 um/px), or a wrong unit; every dialect takes it for "not said".
constexpr double kFinestMpp = 0.05;
constexpr double kCoarsestMpp = 20.0;
constexpr bool is_credible_mpp(double mpp) {
  return mpp >= kFinestMpp && mpp <= kCoarsestMpp;
}

struct OpenOptions {
  /// Micrometres per level-0 pixel (both axes) where the file says none, or none that is credible. What the
  /// file says stays: this is what a whole dataset may be given (train, predict).
  std::optional<double> mpp_if_missing;
  /// Micrometres per level-0 pixel (both axes) instead of whatever the file says: for one slide whose file is
  /// known to be wrong (slide, and the mpp column of a CSV).
  std::optional<double> mpp_override;
  /// The largest picture (region, tile, associated image) that may be allocated, in pixels.
  int64_t max_image_pixels = int64_t{1} << 27;
  /// Where decoded tiles are kept; null means the cache that all slides share (see tile_cache.h).
  std::shared_ptr<TileCache> cache;
};

}  // namespace mt::wsi
