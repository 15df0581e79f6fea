// Fills memory on cuda and simt. fill.md. First the naive version, then the fast one.

#include "kernels/common/tables.h"
#include "kernels/common/vectors.cuh"
#include "kernels/device/kernel.h"
#include "kernels/fill/fill.h"

namespace mt::MT_BACKEND {
namespace {

constexpr int kThreads = 128;

// ---- 1. Naive: one element per thread

__global__ void fill_elements(float* y, float value, int64_t n) {  // y: (n)
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < n) y[i] = value;
}

void constant_naive(float* y, float value, int64_t n, Stream stream) {
  if (n == 0) return;
  launch<fill_elements>(blocks_for(n, kThreads), kThreads, 0, stream, y, value, n);
}

// ---- 2. Fast: 16 bytes per store, four stores per thread, those of a warp beside each other

constexpr int kVectorsPerThread = 4;
constexpr int64_t kBlockElements = int64_t{4} * kVectorsPerThread * kThreads;

__global__ void fill_vectors(float* y, float value, int64_t n, bool vectors) {  // y: (n)
  const int64_t start = blockIdx.x * kBlockElements + 4 * threadIdx.x;
#pragma unroll
  for (int v = 0; v < kVectorsPerThread; ++v) {
    store_four(y, start + int64_t{4} * v * kThreads, n, vectors, float4{value, value, value, value});
  }
}

void constant(float* y, float value, int64_t n, Stream stream) {
  if (n == 0) return;
  launch<fill_vectors>(blocks_for(n, kBlockElements), kThreads, 0, stream, y, value, n,
                       aligned_to_vectors(y));
}

constexpr Fill<float> kFast{constant};
constexpr Fill<float> kNaive{constant_naive};

}  // namespace

void register_fill() {
  register_table(kDevice, kFast);
  register_table(kDevice, kNaive, "naive");
}

}  // namespace mt::MT_BACKEND
