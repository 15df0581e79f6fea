#pragma once
// Floats as unsigned integers of the same order, and the search for a rank in a histogram of digits. Included
// by .cu files only.

#include <cstdint>
#include <cstring>

#include "kernels/common/scan.cuh"
#include "kernels/device/kernel.h"

namespace mt::MT_BACKEND {

/// The order of keys as unsigned integers is the order of the scores; −0 and +0 share one.
__device__ inline uint32_t ordered_key(float score) {
  const float positive_zero = score + 0.0F;
  uint32_t bits;
  memcpy(&bits, &positive_zero, sizeof(bits));
  return (bits >> 31) != 0 ? ~bits : bits | 0x80000000U;
}

// ---- Radix select: 32 bits as digits of 11, 11 and 10 bits

inline constexpr int kDigits = 3;
inline constexpr int kDigitBins = 2048;

__device__ inline int digit_bits(int digit) {
  return digit == 2 ? 10 : 11;
}
/// Bits below the digit.
__device__ inline int digit_shift(int digit) {
  return digit == 0 ? 21 : digit == 1 ? 10 : 0;
}

/// 16 bytes and more: nvcc reads it from shared memory in one access of that width.
template <typename Count>
struct alignas(16) FoundBin {
  unsigned bin;
  Count rank;   // within the bin
  Count count;  // of the bin
};

/// The bin of a histogram in which `rank` (0 is the smallest) lies; bins: (kDigitBins), in any memory. All
/// kThreads threads must come here with the same rank, below the sum of the bins; each gets the result.
template <int kThreads, typename Count>
__device__ inline FoundBin<Count> find_bin(const Count* bins, Count rank) {
  constexpr int kPerThread = kDigitBins / kThreads;
  static_assert(kPerThread * kThreads == kDigitBins);
  SHARED(FoundBin<Count>, found, 1);
  const unsigned first = threadIdx.x * kPerThread;
  Count mine = 0;
  for (unsigned k = 0; k < kPerThread; ++k) mine += bins[first + k];
  Count before =
      block_exclusive_sum<kThreads>(mine).before;  // its barriers part the last call's readers from here
  if (rank >= before && rank < before + mine) {
    unsigned bin = first;
    while (rank >= before + bins[bin]) before += bins[bin++];
    found[0] = {bin, rank - before, bins[bin]};
  }
  simt::sync_threads();
  return found[0];
}

}  // namespace mt::MT_BACKEND
