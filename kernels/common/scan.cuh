#pragma once
// Running sums of integers over a block. Included by .cu files only.

#include <type_traits>

#include "kernels/device/kernel.h"

namespace mt::MT_BACKEND {

template <typename T>
struct RunningSum {
  T before;  // of the values of the threads before this one
  T all;     // of the whole block
};

/// Of this warp's lanes up to this one, it included. All 32 lanes must come here.
template <typename T>
__device__ inline T warp_inclusive_sum(T value) {
  static_assert(std::is_integral_v<T>);
  for (unsigned lanes = 1; lanes < 32; lanes *= 2) {
    const T below = simt::shuffle_up(simt::kFullMask, value, lanes);
    if (simt::lane() >= lanes) value += below;
  }
  return value;
}

/// All kThreads threads of a one-dimensional block must come here. May be called again at once: a barrier
/// stands on both sides of the shared array.
template <int kThreads, typename T>
__device__ inline RunningSum<T> block_exclusive_sum(T value) {
  static_assert(std::is_integral_v<T> && kThreads % 32 == 0);
  constexpr int kWarps = kThreads / 32;
  SHARED(T, warp_sums, kWarps);
  const T upto = warp_inclusive_sum(value);
  simt::sync_threads();  // the last call's readers are done
  if (simt::lane() == 31) warp_sums[simt::warp()] = upto;
  simt::sync_threads();
  RunningSum<T> sum{upto - value, 0};
  for (unsigned w = 0; w < kWarps; ++w) {
    if (w < simt::warp()) sum.before += warp_sums[w];
    sum.all += warp_sums[w];
  }
  return sum;
}

}  // namespace mt::MT_BACKEND
