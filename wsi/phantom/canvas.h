#pragma once
// The amounts of stain at every pixel, and what light makes of them.

#include <array>
#include <cstdint>
#include <vector>

#include "tensor/rng.h"
#include "wsi/image.h"

namespace mt::wsi {

/// How one slide was stained and scanned.
struct Stain {
  float haematoxylin = 1.7F;  // amounts: factors on the drawn densities
  float eosin = 1.0F;
  std::array<float, 3> haematoxylin_vector{};  // optical density per unit in red, green, blue
  std::array<float, 3> eosin_vector{};
  std::array<float, 3> white{};  // of empty glass, 0..255
  float blur_um = 0.65F;
  float nuclear_scale = 1.0F;

  /// The recipe's spread from slide to slide.
  static Stain draw(RandomStream& random);
};

/// Densities of both stains, both (H,W). Drawing is in pixels; callers divide their micrometres by the pixel
/// size.
struct Canvas {
  int64_t width = 0;
  int64_t height = 0;
  std::vector<float> haematoxylin;
  std::vector<float> eosin;

  Canvas(int64_t w, int64_t h);
  std::size_t index(int64_t x, int64_t y) const { return static_cast<std::size_t>(y * width + x); }
};

/// Gaussian blur of a (H,W) plane, edges repeated; sigma in pixels. Only rows and columns of [x0,x1) x
/// [y0,y1) change.
void gaussian_blur(std::vector<float>& plane, int64_t width, int64_t x0, int64_t y0, int64_t x1, int64_t y1,
                   float sigma);

/// Beer-Lambert: intensity = white * exp(-(H h + E e)), plus sensor noise of about 1.2 grey levels.
RgbImage develop(const Canvas& canvas, const Stain& stain, RandomStream& random);

}  // namespace mt::wsi
