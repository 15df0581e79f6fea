// Dot product and scaled addition of rows of floats, in 16 logical lanes. Included once per instruction set,
// inside a file that uses foreach_target.h: hence no `#pragma once`.

#if defined(MT_KERNELS_COMMON_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MT_KERNELS_COMMON_ROWS_INL_H_
#undef MT_KERNELS_COMMON_ROWS_INL_H_
#else
#define MT_KERNELS_COMMON_ROWS_INL_H_
#endif

#include <hwy/highway.h>

#include "kernels/common/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace mt::HWY_NAMESPACE {

/// Sum of a[i] b[i]: n / 16 additions in each lane, then a tree over the lanes.
HWY_INLINE float DotRow(const float* a, const float* b, int64_t n) {
  auto sum = Lanes::set(0.0F);
  for_each_lanes(n, [&](int64_t i, int64_t count) HWY_ATTR {
    sum = Lanes::mul_add(Lanes::load_or(a + i, count, 0.0F), Lanes::load_or(b + i, count, 0.0F), sum);
  });
  return Lanes::reduce_add(sum);
}

/// y[i] += factor · x[i]
HWY_INLINE void AddScaledRow(float factor, const float* x, float* y, int64_t n) {
  const auto f = Lanes::set(factor);
  for_each_lanes(n, [&](int64_t i, int64_t count) HWY_ATTR {
    const auto sum =
        Lanes::mul_add(f, Lanes::load_or(x + i, count, 0.0F), Lanes::load_or(y + i, count, 0.0F));
    Lanes::store(sum, y + i, count);
  });
}

/// y[i] = factor · x[i]
HWY_INLINE void ScaleRow(float factor, const float* x, float* y, int64_t n) {
  const auto f = Lanes::set(factor);
  for_each_lanes(n, [&](int64_t i, int64_t count) HWY_ATTR {
    Lanes::store(Lanes::mul(f, Lanes::load_or(x + i, count, 0.0F)), y + i, count);
  });
}

/// x[i] = e^x[i], for x[i] <= 0 or so (nothing overflows below 88).
HWY_INLINE void ExpRow(float* x, int64_t n) {
  for_each_lanes(n, [&](int64_t i, int64_t count) HWY_ATTR {
    Lanes::store(Lanes::exp(Lanes::load_or(x + i, count, 0.0F)), x + i, count);
  });
}

}  // namespace mt::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
