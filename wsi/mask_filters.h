#pragma once
// Filters on byte pictures of one channel, all (H,W).

#include <cstdint>
#include <vector>

namespace mt::wsi {

struct Plane {
  int64_t width = 0;
  int64_t height = 0;
  std::vector<uint8_t> pixels;

  Plane(int64_t w, int64_t h, uint8_t value = 0)
      : width(w), height(h), pixels(static_cast<std::size_t>(w * h), value) {}
  uint8_t& at(int64_t x, int64_t y) { return pixels[static_cast<std::size_t>(y * width + x)]; }
  uint8_t at(int64_t x, int64_t y) const { return pixels[static_cast<std::size_t>(y * width + x)]; }
};

/// The median of a side x side window (odd), the border repeated.
Plane median_filter(const Plane& plane, int side);
/// Dilation, then erosion, with a side x side square. A picture whose border is inside is not eroded from
/// there.
Plane close_mask(const Plane& mask, int side);
/// The largest value in a side x side window around each pixel.
Plane dilate(const Plane& mask, int side);
/// Otsu's threshold: values above it are one class, the rest the other, and the variance between both is
/// largest. (Otsu, "A threshold selection method from gray-level histograms", 1979.)
int otsu_threshold(const Plane& plane);
/// Sets every connected area of `value` that has fewer than `least` pixels to `replacement`. Areas are
/// 8-connected where `diagonal`, else 4-connected.
void replace_small_areas(Plane& mask, uint8_t value, uint8_t replacement, int64_t least, bool diagonal);

}  // namespace mt::wsi
