#pragma once
// A sum of exponentials that cannot overflow: the pair (m, s) stands for s·eᵐ, and two pairs merge into one (Milakov and Gimelshein
// 2018, "Online normalizer calculation for softmax"). Included by .cu files only.

#include "kernels/common/warp.cuh"

namespace mt::MT_BACKEND {

struct MaxAndSum {
  float largest;
  float sum;  // of exp(x − largest); NaN as soon as an x is, though `largest` drops it
};

__device__ inline MaxAndSum empty_sum() {
  return {-INFINITY, 0};
}

/// exp(x − largest), and 0 for x = −inf also where largest is −inf: an empty part adds nothing. NaN stays NaN.
__device__ inline float exp_below(float x, float largest) {
  return x == -INFINITY ? 0.0F : expf(x - largest);
}

/// One x more.
__device__ inline MaxAndSum added(const MaxAndSum& a, float x) {
  const float largest = fmaxf(a.largest, x);
  return {largest, a.sum * exp_below(a.largest, largest) + exp_below(x, largest)};
}

__device__ inline MaxAndSum merged(const MaxAndSum& a, const MaxAndSum& b) {
  const float largest = fmaxf(a.largest, b.largest);
  return {largest, a.sum * exp_below(a.largest, largest) + b.sum * exp_below(b.largest, largest)};
}

__device__ inline MaxAndSum shuffle_xor(const MaxAndSum& a, unsigned lanes) {
  return {simt::shuffle_xor(simt::kFullMask, a.largest, lanes),
          simt::shuffle_xor(simt::kFullMask, a.sum, lanes)};
}

/// All 32 lanes must come here; each gets the pair of all.
__device__ inline MaxAndSum warp_merged(MaxAndSum a) {
  for (unsigned lanes = 16; lanes > 0; lanes /= 2) a = merged(a, shuffle_xor(a, lanes));
  return a;
}

/// log(s·eᵐ), rounded once.
__device__ inline float log_sum_exp(const MaxAndSum& a) {
  return static_cast<float>(static_cast<double>(a.largest) + log(static_cast<double>(a.sum)));
}

}  // namespace mt::MT_BACKEND
