#pragma once
// Four neighbouring floats in one 16-byte access where that is possible. Included by .cu files only.

#include <cstdint>

#include "kernels/device/kernel.h"

namespace mt::MT_BACKEND {

/// Whether every pointer (null counts too) may be read as float4.
template <typename... Pointers>
bool aligned_to_vectors(Pointers... pointers) {
  return ((reinterpret_cast<std::uintptr_t>(pointers) % sizeof(float4) == 0) && ...);
}

/// kCount neighbours, moved in one access where they have 16 bytes or fewer, else in several of 16.
template <typename T, int kCount>
struct alignas(kCount * sizeof(T)) Group {
  T value[kCount];
};
template <int kCount>
using FloatGroup = Group<float, kCount>;

/// x[i … i+4), and `other` from x[n) on. `vectors`: x + i is a multiple of 16 bytes.
__device__ inline float4 load_four(const float* x, int64_t i, int64_t n, bool vectors, float other = 0) {
  if (vectors && i + 4 <= n) return simt::load_vector<float4>(x + i);
  return {i < n ? x[i] : other, i + 1 < n ? x[i + 1] : other, i + 2 < n ? x[i + 2] : other,
          i + 3 < n ? x[i + 3] : other};
}

/// x[i … i+4) = value, but nothing from x[n) on.
__device__ inline void store_four(float* x, int64_t i, int64_t n, bool vectors, const float4& value) {
  if (vectors && i + 4 <= n) {
    simt::store_vector(x + i, value);
  } else {
    if (i < n) x[i] = value.x;
    if (i + 1 < n) x[i + 1] = value.y;
    if (i + 2 < n) x[i + 2] = value.z;
    if (i + 3 < n) x[i + 3] = value.w;
  }
}

}  // namespace mt::MT_BACKEND
