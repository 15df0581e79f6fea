#pragma once
// One pixel's steps of the augmentation, for the .cu files. Every byte must be the cpu's: integers, or
// products rounded by themselves (simt::multiply_rounded), so that no fused multiply-add changes a rounding.
// Formulas: augment.md.

#include <cstdint>

#include "kernels/augment/augment_view.h"
#include "kernels/device/kernel.h"

namespace mt::MT_BACKEND {
namespace {

struct Pixel {
  int32_t r, g, b;  // 0 to 255
};

__device__ inline Pixel load_pixel(const uint8_t* rgb) {
  return {rgb[0], rgb[1], rgb[2]};
}
__device__ inline void store_pixel(uint8_t* rgb, const Pixel& p) {
  rgb[0] = static_cast<uint8_t>(p.r);
  rgb[1] = static_cast<uint8_t>(p.g);
  rgb[2] = static_cast<uint8_t>(p.b);
}

__device__ inline int32_t luma(const Pixel& p) {
  return (p.r * 19595 + p.g * 38470 + p.b * 7471 + 0x8000) >> 16;
}

// ---- Blends

/// trunc(clamp(degenerate + factor · (value − degenerate))), two roundings to float.
__device__ inline int32_t blended(int32_t degenerate, int32_t value, float factor) {
  const float product = simt::multiply_rounded(factor, static_cast<float>(value - degenerate));
  const float sum = simt::add_rounded(static_cast<float>(degenerate), product);
  return static_cast<int32_t>(fminf(fmaxf(sum, 0.0F), 255.0F));
}
__device__ inline Pixel blended(int32_t degenerate, const Pixel& p, float factor) {
  return {blended(degenerate, p.r, factor), blended(degenerate, p.g, factor),
          blended(degenerate, p.b, factor)};
}

/// Of a view whose pixels have this sum of lumas.
__device__ inline int32_t mean_luma(unsigned long long sum, int64_t pixels) {
  return static_cast<int32_t>(static_cast<double>(sum) / static_cast<double>(pixels) + 0.5);
}

// ---- Hue: RGB to 8-bit HSV and back

/// hue: sextants from −1 to 5.
__device__ inline int32_t hue_byte(float hue) {
  const double turned = static_cast<double>(hue) / 6.0 + 1.0;
  const float turn = static_cast<float>(turned >= 1.0 ? turned - 1.0 : turned);
  const int32_t byte = static_cast<int32_t>(simt::multiply_rounded(static_cast<double>(turn), 255.0));
  return byte < 255 ? byte : 255;
}

/// The hue of a pixel that is not grey; range = largest − smallest channel.
__device__ inline int32_t hue_of(const Pixel& p, int32_t largest, int32_t range) {
  const auto share = [=](int32_t channel) {
    return static_cast<float>(largest - channel) / static_cast<float>(range);
  };
  if (p.r == largest) return hue_byte(share(p.b) - share(p.g));
  if (p.g == largest)
    return hue_byte(
        static_cast<float>(2.0 + static_cast<double>(share(p.r)) - static_cast<double>(share(p.b))));
  return hue_byte(
      static_cast<float>(4.0 + static_cast<double>(share(p.g)) - static_cast<double>(share(p.r))));
}

__device__ inline int32_t rounded(double value) {
  return static_cast<int32_t>(value + 0.5);
}

__device__ inline Pixel hue_shifted(const Pixel& p, int32_t shift) {
  const int32_t largest = p.r > p.g ? (p.r > p.b ? p.r : p.b) : (p.g > p.b ? p.g : p.b);
  const int32_t smallest = p.r < p.g ? (p.r < p.b ? p.r : p.b) : (p.g < p.b ? p.g : p.b);
  const int32_t range = largest - smallest;
  if (range == 0) return p;
  const int32_t hue = (hue_of(p, largest, range) + shift) & 255;
  const float share = static_cast<float>(range) / static_cast<float>(largest);
  const int32_t saturation = static_cast<int32_t>(simt::multiply_rounded(static_cast<double>(share), 255.0));
  const double position = simt::multiply_rounded(static_cast<double>(hue), 6.0) / 255.0;
  const int32_t whole = static_cast<int32_t>(position);
  const float rest = static_cast<float>(position - whole);
  const float s = static_cast<float>(static_cast<double>(saturation) / 255.0);
  const double v = largest;
  const double faded = static_cast<double>(simt::multiply_rounded(s, rest));
  const double risen = simt::multiply_rounded(static_cast<double>(s), 1.0 - static_cast<double>(rest));
  const int32_t low = rounded(simt::multiply_rounded(v, 1.0 - static_cast<double>(s)));
  const int32_t falling = rounded(simt::multiply_rounded(v, 1.0 - faded));
  const int32_t rising = rounded(simt::multiply_rounded(v, 1.0 - risen));
  switch (whole % 6) {
    case 0:
      return {largest, rising, low};
    case 1:
      return {falling, largest, low};
    case 2:
      return {low, largest, rising};
    case 3:
      return {low, falling, largest};
    case 4:
      return {rising, low, largest};
    default:
      return {largest, low, falling};
  }
}

// ---- Steps of a view

__device__ inline Pixel stain_jittered(const Pixel& p, const AugmentView& view, const StainTables& tables) {
  const int64_t density[3] = {tables.density[p.r], tables.density[p.g], tables.density[p.b]};
  int32_t out[3];
#pragma unroll
  for (int c = 0; c < 3; ++c) {
    const int64_t* row = view.stain_matrix[c];
    const int64_t sum = (row[0] * density[0] + row[1] * density[1] + row[2] * density[2] +
                         view.stain_offset[c] + (1 << 13)) >>
                        14;
    out[c] = tables.byte[sum < 0 ? 0 : (sum > 32768 ? 32768 : sum)];
  }
  return {out[0], out[1], out[2]};
}

/// Steps [begin, end) of the colour jitter. `mean`: of the view before its contrast step, if that is one of
/// them.
__device__ inline Pixel colour_jittered(Pixel p, const AugmentView& view, int begin, int end, int32_t mean) {
  for (int i = begin; i < end; ++i) {
    switch (view.step[i]) {
      case JitterStep::brightness:
        p = blended(0, p, view.brightness);
        break;
      case JitterStep::contrast:
        p = blended(mean, p, view.contrast);
        break;
      case JitterStep::saturation:
        p = blended(luma(p), p, view.saturation);
        break;
      case JitterStep::hue:
        if (view.shifts_hue != 0) p = hue_shifted(p, view.hue_shift);
        break;
    }
  }
  return p;
}

__device__ inline Pixel grey(const Pixel& p) {
  const int32_t all = luma(p);
  return {all, all, all};
}

// ---- Positions

/// Position i of a line of n pixels mirrored at its ends, the end pixels not repeated.
__device__ inline int32_t mirrored(int32_t i, int32_t n) {
  if (n == 1) return 0;
  const int32_t period = 2 * (n - 1);
  const int32_t rest = (i % period + period) % period;
  return rest < n ? rest : period - rest;
}

/// Byte offset of where pixel (y, x) of a view of size × size comes to lie: flipped, then turned.
__device__ inline int64_t turned_offset(int32_t y, int32_t x, int32_t size, const AugmentView& view) {
  if (view.flip_horizontal != 0) x = size - 1 - x;
  if (view.flip_vertical != 0) y = size - 1 - y;
  for (int turn = 0; turn < view.quarter_turns; ++turn) {  // counter-clockwise
    const int32_t row = size - 1 - x;
    x = y;
    y = row;
  }
  return (static_cast<int64_t>(y) * size + x) * 3;
}

}  // namespace
}  // namespace mt::MT_BACKEND
