#pragma once
// What the SIMT machine does for a warp's matrix fragments.

#include "kernels/simt/machine.h"

namespace mt::simt_machine {

enum class FragmentRole : uint8_t { a, b, accumulator };

/// Which lane holds which element of a fragment.
struct FragmentPermutation {
  unsigned factor;  // odd
  unsigned shift;
  /// The row-major position of element `slot` = lane · elements per lane + i: a permutation of 0 … elements −
  /// 1 (a power of two).
  int position(int slot, int elements) const {
    return static_cast<int>((static_cast<unsigned>(slot) * factor + shift) &
                            static_cast<unsigned>(elements - 1));
  }
};
/// Another one for each role and schedule.
FragmentPermutation fragment_permutation(FragmentRole role);

/// A matrix in memory, as one lane names it.
struct MatrixInMemory {
  const void* pointer;
  int leading_dimension;
  SourceLine where;
};
/// Returns when all 32 lanes have come here, with the same matrix.
void meet_at_matrix(const MatrixInMemory& mine);

/// One lane's shares of c (16,16), a (16,depth), b (depth,16).
struct FragmentShares {
  float* c;
  const float* a;
  const float* b;
  int depth;
};
/// c += a·b for the warp: returns when all 32 lanes have come here. Each sum is in float32, by ascending
/// depth.
void multiply_fragments(const FragmentShares& mine, SourceLine where);

}  // namespace mt::simt_machine
