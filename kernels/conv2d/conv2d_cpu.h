#pragma once
// Parts of the CPU's convolution, private to this folder.

#include <algorithm>
#include <cstdint>

#include "kernels/conv2d/conv2d.h"

namespace mt::conv2d_cpu {

inline int64_t blocks(int64_t n, int64_t size) {
  return (n + size - 1) / size;
}

/// 8-bit pixels (N,H,W,3), and what becomes of them.
struct Bytes {
  const uint8_t* pixels = nullptr;
  ImageTable table;
  bool swap_red_blue = false;
};

/// Images of h x w pixels and c channels, NHWC: floats or, where `bytes` is set, bytes.
struct Images {
  const float* pixels = nullptr;
  int64_t n = 0;
  int64_t h = 0;
  int64_t w = 0;
  int64_t c = 0;
  const Bytes* bytes = nullptr;

  /// Copies the values of `count` neighbouring pixels from number `first` on.
  void copy_pixels(int64_t first, int64_t count, float* target) const {
    if (bytes == nullptr) {
      std::copy_n(pixels + first * c, count * c, target);
      return;
    }
    const int64_t red = bytes->swap_red_blue ? 2 : 0;
    const uint8_t* pixel = bytes->pixels + first * 3;
    for (int64_t i = 0; i < count; ++i, pixel += 3, target += 3) {
      target[0] = bytes->table[0][pixel[red]];
      target[1] = bytes->table[1][pixel[1]];
      target[2] = bytes->table[2][pixel[2 - red]];
    }
  }
};

/// Taps at rows p * stride - top + r (r < rows) and columns q * stride - left + s (s < columns) of an image,
/// for each output pixel (p, q). top and left may be negative: then the first rows or columns of the image
/// are not used.
struct Taps {
  int64_t rows = 1;
  int64_t columns = 1;
  int64_t stride = 1;
  int64_t top = 0;
  int64_t left = 0;

  /// Whether some tap of an out_h x out_w grid lies outside of the image, where values are 0.
  bool reach_outside(const Images& x, int64_t out_h, int64_t out_w) const {
    return top > 0 || left > 0 || (out_h - 1) * stride - top + rows > x.h ||
           (out_w - 1) * stride - left + columns > x.w;
  }
};

/// Copies columns [left, left + width) of one row of an image, zeros where there is no image. target (width,
/// C).
inline void copy_framed_row(const Images& x, int64_t image, int64_t row, int64_t left, int64_t width,
                            float* target) {
  if (row < 0 || row >= x.h) {
    std::fill_n(target, width * x.c, 0.0F);
    return;
  }
  const int64_t first = std::clamp<int64_t>(-left, 0, width);
  const int64_t last = std::clamp<int64_t>(x.w - left, first, width);
  std::fill_n(target, first * x.c, 0.0F);
  x.copy_pixels((image * x.h + row) * x.w + left + first, last - first, target + first * x.c);
  std::fill_n(target + last * x.c, (width - last) * x.c, 0.0F);
}

/// Pixels (first_row + i * step, first_column + j * step) of y (N,H,W,K), for an out_h x out_w grid.
struct OutputGrid {
  float* y = nullptr;
  int64_t h = 0;
  int64_t w = 0;
  int64_t k = 0;
  int64_t first_row = 0;
  int64_t first_column = 0;
  int64_t step = 1;
  int64_t out_h = 0;
  int64_t out_w = 0;
};

/// y = sum over taps and channels of x * weight. `panels` holds the weights as in pack.h: strips of output
/// channels, each (rows, columns, C, width), width as panel_width().
void correlate(const Images& x, const Taps& taps, const float* panels, const OutputGrid& out);
int64_t panel_width();

/// y (N,P,Q,K), the sums of a convolution, becomes what the epilogue makes of them (conv2d_epilogue_cpu.cc).
void apply_epilogue(float* y, const Conv2dShape& shape, const Conv2dEpilogue<float>& epilogue);

void backward_weights(const float* x, const float* dy, float* dw, const Conv2dShape& shape, Stream stream);

}  // namespace mt::conv2d_cpu
