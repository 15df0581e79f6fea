#pragma once
// Pictures in memory: 8 bits a sample, rows without padding.

#include <cstddef>
#include <cstdint>
#include <vector>

namespace mt::wsi {

struct RgbImage {
  int64_t width = 0;
  int64_t height = 0;
  std::vector<uint8_t> pixels;  // (H,W,3)

  RgbImage() = default;
  RgbImage(int64_t w, int64_t h, uint8_t value = 0)
      : width(w), height(h), pixels(static_cast<std::size_t>(w * h * 3), value) {}
  uint8_t* at(int64_t x, int64_t y) { return pixels.data() + (y * width + x) * 3; }
  const uint8_t* at(int64_t x, int64_t y) const { return pixels.data() + (y * width + x) * 3; }
};

/// Alpha is 0 where there is no slide and 255 where there is; the colours are not multiplied by it.
struct RgbaImage {
  int64_t width = 0;
  int64_t height = 0;
  std::vector<uint8_t> pixels;  // (H,W,4)

  RgbaImage() = default;
  RgbaImage(int64_t w, int64_t h) : width(w), height(h), pixels(static_cast<std::size_t>(w * h * 4)) {}
  uint8_t* at(int64_t x, int64_t y) { return pixels.data() + (y * width + x) * 4; }
  const uint8_t* at(int64_t x, int64_t y) const { return pixels.data() + (y * width + x) * 4; }
};

}  // namespace mt::wsi
