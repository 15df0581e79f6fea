#pragma once
// The steps of the CPU's augmentation, on one view at a time. Buffers that Highway code writes have kPadding
// bytes more.

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

// In place on pixels of 3 bytes.
void stain_jitter(uint8_t* rgb, int64_t pixels, const AugmentParameters& parameters);
void colour_jitter(uint8_t* rgb, int64_t pixels, const AugmentParameters& parameters);
void grey(uint8_t* rgb, int64_t pixels);

}  // namespace mt::augment_cpu
