#pragma once
// Working memory that begins with one value everywhere, which no copy brings. Included by .cu files only.

#include <cstdint>

#include "kernels/device/kernel.h"

namespace mt::MT_BACKEND {

template <typename T>
__global__ void fill_each(T* data, int64_t n, T value) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < n) data[i] = value;
}

/// data: (n), n >= 0
template <typename T>
void fill_array(T* data, int64_t n, T value, Stream stream) {
  constexpr int kThreads = 128;
  if (n > 0) launch<fill_each<T>>(blocks_for(n, kThreads), kThreads, 0, stream, data, n, value);
}

}  // namespace mt::MT_BACKEND
