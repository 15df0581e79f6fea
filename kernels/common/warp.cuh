#pragma once
// Reductions of a warp and of a block in fixed trees: every launch gives the same bits. Included by .cu files
// only, and compiled once for each backend.

#include "kernels/device/kernel.h"

namespace mt::MT_BACKEND {

/// One value from two; both functions must not depend on the order of their arguments.
struct Sum {
  template <typename T>
  static __device__ T merged(T a, T b) {
    return a + b;
  }
};
struct Smaller {
  template <typename T>
  static __device__ T merged(T a, T b) {
    return a < b ? a : b;
  }
};
/// fmaxf drops NaN: it has to come back in some other way.
struct Larger {
  static __device__ float merged(float a, float b) { return fmaxf(a, b); }
};
/// Maximum that NaN passes through, whichever side it stands on.
struct NanMax {
  static __device__ float merged(float a, float b) { return a != a || a > b ? a : b; }
};

/// All 32 lanes must come here; each gets the result. A butterfly: a∘b and b∘a have the same bits, so after
/// five steps every lane has those of one fixed tree.
template <typename Merge, typename T>
__device__ inline T warp_reduce(T value) {
  for (unsigned bits = 16; bits > 0; bits /= 2) {
    value = Merge::merged(value, simt::shuffle_xor(simt::kFullMask, value, bits));
  }
  return value;
}

template <typename T>
__device__ inline T warp_sum(T value) {
  return warp_reduce<Sum>(value);
}

/// All kThreads threads of a one-dimensional block must come here; each gets the result: lanes first, then
/// warps in their order. May be called again at once: a barrier stands on both sides of the shared array.
template <typename Merge, int kThreads, typename T>
__device__ inline T block_reduce(T value) {
  static_assert(kThreads % 32 == 0);
  constexpr int kWarps = kThreads / 32;
  SHARED(T, part, kWarps);
  value = warp_reduce<Merge>(value);
  simt::sync_threads();  // the last call's readers are done
  if (simt::lane() == 0) part[simt::warp()] = value;
  simt::sync_threads();
  T all = part[0];
  for (int w = 1; w < kWarps; ++w) all = Merge::merged(all, part[w]);
  return all;
}

template <int kThreads, typename T>
__device__ inline T block_sum(T value) {
  return block_reduce<Sum, kThreads>(value);
}

}  // namespace mt::MT_BACKEND
