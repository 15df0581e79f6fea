#pragma once
// Bitonic sorting networks (Batcher 1968). Included by .cu files only.

#include <cstdint>

#include "kernels/device/kernel.h"

namespace mt::MT_BACKEND {

/// The smallest power of two from n on.
__host__ __device__ inline int64_t power_of_two_from(int64_t n) {
  int64_t size = 1;
  while (size < n) size *= 2;
  return size;
}

/// Compares element pair t of a stage at this distance (a power of two) and swaps it into the order that the
/// run of length `run` at absolute place `start` wants: ascending runs and descending ones take turns.
__device__ inline void compare_exchange(uint64_t* keys, int64_t t, int64_t distance, int64_t run,
                                        int64_t start) {
  const int64_t low = ((t & ~(distance - 1)) << 1) | (t & (distance - 1));
  const uint64_t a = keys[low];
  const uint64_t b = keys[low + distance];
  const bool ascending = ((start + low) & run) == 0;
  if ((a > b) == ascending) {
    keys[low] = b;
    keys[low + distance] = a;
  }
}

/// Sorts keys (size) in shared memory, size a power of two: ascending, or as the run that starts at absolute
/// place `start` of a longer network. All kThreads threads must come here; a barrier stands before and after.
template <int kThreads>
__device__ inline void sort_in_block(uint64_t* keys, int64_t size, int64_t start = 0) {
  simt::sync_threads();
  for (int64_t run = 2; run <= size; run *= 2) {
    for (int64_t distance = run / 2; distance > 0; distance /= 2) {
      for (int64_t t = threadIdx.x; t < size / 2; t += kThreads) {
        compare_exchange(keys, t, distance, run, start);
      }
      simt::sync_threads();
    }
  }
}

}  // namespace mt::MT_BACKEND
