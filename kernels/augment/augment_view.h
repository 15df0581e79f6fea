#pragma once
// What the cuda and simt kernels know of one view: AugmentParameters with all that takes a logarithm, an
// exponential or a square root already computed, on the host and by the code of the cpu version, so that no
// byte depends on a device's library.

#include <cstdint>
#include <vector>

#include "kernels/augment/augment.h"

namespace mt {

inline constexpr int32_t kMostBlurTaps = 31;

struct AugmentView {
  int32_t top, left, height, width;  // crop
  int32_t taps_down, taps_across;    // of the resampling filter
  uint8_t flip_horizontal, flip_vertical, quarter_turns;
  uint8_t stain_jitter, grey;
  uint8_t steps;        // colour jitter: 4, or 0
  uint8_t contrast_at;  // which of them needs the mean of the view before it; `steps` where none does
  uint8_t shifts_hue;
  uint8_t hue_shift;  // modulo 256
  JitterStep step[4];
  float brightness, contrast, saturation;
  int64_t stain_matrix[3][3];  // in units of 2^-14
  int64_t stain_offset[3];     // in units of 2^-26
  int32_t blur_radius;
  uint16_t
      blur_weights[kMostBlurTaps];  // (2 · blur_radius + 1), in units of 1/256; without a blur one of 256
  /// Contrast or blur needs other pixels of the view with its first steps done.
  uint8_t second_pass;
};

/// Throws what check_augmentation throws.
std::vector<AugmentView> augment_views(const AugmentParameters* parameters, int64_t batch, int64_t height,
                                       int64_t width, int64_t size, int64_t blur_size);

/// Taps of the resampling filter along one axis: what the longest support reaches, and no more than there is.
int32_t resample_taps(int64_t in_size, int64_t out_size);

/// Bytes to optical densities in units of 2^-12 and back.
struct StainTables {
  int32_t density[256];
  uint8_t byte[32769];
};
const StainTables& stain_tables();

}  // namespace mt
