#pragma once
// A float as the sum of two TF32 numbers, for products on tensor cores that are as exact as float: big +
// small misses at most 2^-23 of it. Of the four products small · small, at most 2^-22 of the whole, is left
// out. (Cutting `big` off in place of rounding it would cost as many instructions, leave small twice and
// small · small four times as large, and bias both.) Included by .cu files only.

#include "kernels/device/fragment.h"

namespace mt::MT_BACKEND {

/// A fragment of A or B as two; F: simt::FragmentA or FragmentB of simt::Tf32.
template <typename F>
struct SplitFragment {
  F big;
  F small;

  /// A warp's matrix in shared memory.
  __device__ void load(const float* source, int leading_dimension) {
    simt::load_fragment(big, source, leading_dimension);
#pragma unroll
    for (int i = 0; i < big.size(); ++i) {
      const float value = big[i];
      big[i] = simt::to_tf32(value);
      small[i] = simt::to_tf32(value - big[i]);  // the difference is exact
    }
  }
};

/// sum += a · b, the small terms first.
template <typename A, typename B>
__device__ void add_split_product(simt::Accumulator<simt::Tf32>& sum, const SplitFragment<A>& a,
                                  const SplitFragment<B>& b) {
  simt::multiply_accumulate(sum, a.small, b.big);
  simt::multiply_accumulate(sum, a.big, b.small);
  simt::multiply_accumulate(sum, a.big, b.big);
}

}  // namespace mt::MT_BACKEND
