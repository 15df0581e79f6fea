#pragma once
// Pointwise kernels: every output element depends on the input elements of the same place. Included by .cu
// files only, and compiled once for each backend.

#include <cstdint>
#include <initializer_list>

#include "kernels/device/kernel.h"

namespace mt::MT_BACKEND {

/// Threads of a block of the pointwise kernels.
constexpr int kMapThreads = 256;

/// Whether vectors of `bytes` bytes may be loaded and stored at all of these addresses.
inline bool all_aligned(std::initializer_list<const void*> pointers, std::uintptr_t bytes = sizeof(float4)) {
  std::uintptr_t bits = 0;
  for (const void* pointer : pointers) bits |= reinterpret_cast<std::uintptr_t>(pointer);
  return bits % bytes == 0;
}

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
// In one 16-byte access per array where all four are there and `vectors` says that the arrays are aligned. A
// thread has loaded its elements before it stores them, so y may be an input.

template <typename F>
__global__ void map_element_vectors(const float* x, float* y, int64_t n, F f, bool vectors) {
  const int64_t i = 4 * (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x);
  if (vectors && i + 4 <= n) {
    const auto v = simt::load_vector<float4>(x + i);
    simt::store_vector(y + i, float4{f(v.x), f(v.y), f(v.z), f(v.w)});
  } else {
    for (int64_t k = i; k < n && k < i + 4; ++k) y[k] = f(x[k]);
  }
}

template <typename F>
__global__ void map_pair_vectors(const float* a, const float* b, float* y, int64_t n, F f, bool vectors) {
  const int64_t i = 4 * (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x);
  if (vectors && i + 4 <= n) {
    const auto v = simt::load_vector<float4>(a + i);
    const auto w = simt::load_vector<float4>(b + i);
    simt::store_vector(y + i, float4{f(v.x, w.x), f(v.y, w.y), f(v.z, w.z), f(v.w, w.w)});
  } else {
    for (int64_t k = i; k < n && k < i + 4; ++k) y[k] = f(a[k], b[k]);
  }
}

template <typename F>
void map(const float* x, float* y, int64_t n, F f, Stream stream) {
  if (n == 0) return;
  launch<map_element_vectors<F>>(blocks_for(n, 4 * kMapThreads), kMapThreads, 0, stream, x, y, n, f,
                                 all_aligned({x, y}));
}

template <typename F>
void map(const float* a, const float* b, float* y, int64_t n, F f, Stream stream) {
  if (n == 0) return;
  launch<map_pair_vectors<F>>(blocks_for(n, 4 * kMapThreads), kMapThreads, 0, stream, a, b, y, n, f,
                              all_aligned({a, b, y}));
}

}  // namespace mt::MT_BACKEND
