#pragma once
// Pointwise kernels: every output element depends on the input elements of the same place. Included by .cu
// files only, and compiled once for each backend.

#include <cstdint>

#include "kernels/common/vectors.cuh"
#include "kernels/device/kernel.h"

namespace mt::MT_BACKEND {

/// Threads of a block of the pointwise kernels.
constexpr int kMapThreads = 256;

// ---- Naive: one element per thread

/// y[i] = f(x[i]); x, y: (n)
template <typename F>
__global__ void map_elements(const float* x, float* y, int64_t n, F f) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < n) y[i] = f(x[i]);
}

/// y[i] = f(a[i], b[i]); a, b, y: (n)
template <typename F>
__global__ void map_pairs(const float* a, const float* b, float* y, int64_t n, F f) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < n) y[i] = f(a[i], b[i]);
}

template <typename F>
void map_naive(const float* x, float* y, int64_t n, F f, Stream stream) {
  if (n == 0) return;
  launch<map_elements<F>>(blocks_for(n, kMapThreads), kMapThreads, 0, stream, x, y, n, f);
}

template <typename F>
void map_naive(const float* a, const float* b, float* y, int64_t n, F f, Stream stream) {
  if (n == 0) return;
  launch<map_pairs<F>>(blocks_for(n, kMapThreads), kMapThreads, 0, stream, a, b, y, n, f);
}

// ---- Fast: four neighbours per thread
// A thread has loaded its elements before it stores them, so y may be an input.

template <typename F>
__global__ void map_element_vectors(const float* x, float* y, int64_t n, F f, bool vectors) {
  const int64_t i = 4 * (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x);
  const float4 v = load_four(x, i, n, vectors);
  store_four(y, i, n, vectors, float4{f(v.x), f(v.y), f(v.z), f(v.w)});
}

template <typename F>
__global__ void map_pair_vectors(const float* a, const float* b, float* y, int64_t n, F f, bool vectors) {
  const int64_t i = 4 * (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x);
  const float4 v = load_four(a, i, n, vectors);
  const float4 w = load_four(b, i, n, vectors);
  store_four(y, i, n, vectors, float4{f(v.x, w.x), f(v.y, w.y), f(v.z, w.z), f(v.w, w.w)});
}

template <typename F>
void map(const float* x, float* y, int64_t n, F f, Stream stream) {
  if (n == 0) return;
  launch<map_element_vectors<F>>(blocks_for(n, 4 * kMapThreads), kMapThreads, 0, stream, x, y, n, f,
                                 aligned_to_vectors(x, y));
}

template <typename F>
void map(const float* a, const float* b, float* y, int64_t n, F f, Stream stream) {
  if (n == 0) return;
  launch<map_pair_vectors<F>>(blocks_for(n, 4 * kMapThreads), kMapThreads, 0, stream, a, b, y, n, f,
                              aligned_to_vectors(a, b, y));
}

}  // namespace mt::MT_BACKEND
