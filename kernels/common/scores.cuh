#pragma once
// Scores of which a mask says who takes part, read four at a time. Included by .cu files only.

#include <cstdint>

#include "kernels/common/vectors.cuh"
#include "kernels/device/kernel.h"

namespace mt::MT_BACKEND {

/// The integer of 64 bits that atomics know: rows and counts.
using Count = unsigned long long;
inline constexpr Count kNoRow = ~Count{0};

struct MaskedScores {
  MaskedScores(const float* score_values, const uint8_t* score_mask, int64_t count)
      : values(score_values),
        mask(score_mask),
        n(count),
        vectors(aligned_to_vectors(score_values) &&
                reinterpret_cast<std::uintptr_t>(score_mask) % sizeof(uint32_t) == 0) {}
  const float* values;  // (n)
  const uint8_t* mask;  // (n) or null: all take part
  int64_t n;
  bool vectors;  // four scores in one access, and four bytes of the mask
};

/// Rows i … i+3.
struct FourScores {
  float value[4];
  bool takes_part[4];  // false beyond the last row
};

__device__ inline FourScores load_four_scores(const MaskedScores& scores, int64_t i) {
  const float4 v = load_four(scores.values, i, scores.n, scores.vectors);
  FourScores four{{v.x, v.y, v.z, v.w}, {}};
  if (scores.mask != nullptr && scores.vectors && i + 4 <= scores.n) {
    const uint32_t bytes = simt::load_vector<uint32_t>(scores.mask + i);
#pragma unroll
    for (int k = 0; k < 4; ++k) four.takes_part[k] = (bytes >> (8 * k) & 0xFFU) != 0;
  } else {
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      four.takes_part[k] = i + k < scores.n && (scores.mask == nullptr || scores.mask[i + k] != 0);
    }
  }
  return four;
}

/// Lowers *first_nan to the first of these rows that takes part and is NaN.
__device__ inline void note_nan(const FourScores& four, int64_t i, Count* first_nan) {
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    if (four.takes_part[k] && four.value[k] != four.value[k])
      simt::atomic_min(first_nan, static_cast<Count>(i + k));
  }
}

}  // namespace mt::MT_BACKEND
