#pragma once
// The steps of the CPU's augmentation, on one view at a time. Buffers that Highway code writes have kPadding
// bytes more.

#include <array>
#include <cstdint>
#include <vector>

#include "kernels/augment/augment.h"

namespace mt::augment_cpu {

/// Bytes that vector loads and stores may touch behind a buffer's end.
inline constexpr int64_t kPadding = 256;

/// Memory for one view, used again for the next.
struct Scratch {
  std::vector<uint8_t> view;      // (size,size,3) + kPadding
  std::vector<uint8_t> line;      // one row of the crop, or one row with mirrored ends, + kPadding
  std::vector<uint8_t> wide;      // (crop height,size,3) + kPadding
  std::vector<uint16_t> blurred;  // (size,size,3) + kPadding, in units of 1/256
};

struct Box {
  int64_t top;
  int64_t left;
  int64_t height;
  int64_t width;
};

/// Resizes the part `box` of `image` (H,W,3) to scratch.view (out_height,out_width,3).
void crop_and_resize(const uint8_t* image, int64_t width, const Box& box, int64_t out_height,
                     int64_t out_width, Scratch& scratch);
/// Gaussian blur of scratch.view in place.
void blur(int64_t size, int64_t blur_size, double sigma, Scratch& scratch);

/// Blur weights in units of 1/256, without the zeros at both ends. The error of each rounding is carried to
/// the next weight.
struct BlurKernel {
  std::vector<uint16_t> weights;

  BlurKernel(int64_t size, double sigma);
  int64_t taps() const { return static_cast<int64_t>(weights.size()); }
  int64_t radius() const { return taps() / 2; }
};

/// The affine map of densities that scales and shifts the stains: matrix in units of 2^-14, offset of 2^-26.
struct StainMap {
  std::array<std::array<int64_t, 3>, 3> matrix;
  std::array<int64_t, 3> offset;

  explicit StainMap(const AugmentParameters& p);
};

/// torchvision's np.uint8(hue · 255): truncated towards 0, then modulo 256.
inline uint8_t hue_shift(float hue) {
  return static_cast<uint8_t>(static_cast<int>(static_cast<double>(hue) * 255.0));
}

// In place on pixels of 3 bytes.
void stain_jitter(uint8_t* rgb, int64_t pixels, const AugmentParameters& parameters);
void colour_jitter(uint8_t* rgb, int64_t pixels, const AugmentParameters& parameters);
void grey(uint8_t* rgb, int64_t pixels);

}  // namespace mt::augment_cpu
