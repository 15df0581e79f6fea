#pragma once
// Sums over rows of any length in two launches: chunks of 4,096 elements by one block each, then the chunks
// of a row by one block. The tree depends on the row's length alone. Included by .cu files only.

#include <cstdint>

#include "kernels/common/device_array.cuh"
#include "kernels/common/vectors.cuh"
#include "kernels/common/warp.cuh"
#include "kernels/device/kernel.h"

namespace mt::MT_BACKEND {

constexpr int kSumThreads = 256;
constexpr int kSumLoads = 4;                                         // of four elements by a thread
constexpr int64_t kSumChunk = int64_t{4} * kSumLoads * kSumThreads;  // 4,096

// What is summed: Term::added(sum, x) gives sum + f(x).
struct PlainTerm {
  static __device__ float added(float sum, float x) { return sum + x; }
};
struct SquareTerm {
  static __device__ float added(float sum, float x) { return fmaf(x, x, sum); }
  /// The square of a float is exact in double.
  static __device__ double added(double sum, float x) {
    return sum + static_cast<double>(x) * static_cast<double>(x);
  }
};

/// part[row, chunk] = Σ f(x) of the chunk. A thread adds 16 elements, then come the block's lanes and warps:
/// in float at most 15 + 5 + 7 roundings. `vectors`: x and every row begin at a multiple of 16 bytes.
template <typename Term, typename T>
__global__ void sum_chunks(const float* x, T* part, int64_t length, int64_t chunks, bool vectors) {
  // x: (rows, length), part: (rows, chunks); grid: rows · chunks
  const float* row = x + blockIdx.x / chunks * length;
  const int64_t begin = blockIdx.x % chunks * kSumChunk + 4 * threadIdx.x;
  T sum = 0;
#pragma unroll
  for (int k = 0; k < kSumLoads; ++k) {
    const float4 v = load_four(row, begin + int64_t{4} * k * kSumThreads, length, vectors);
    sum = Term::added(sum, v.x);
    sum = Term::added(sum, v.y);
    sum = Term::added(sum, v.z);
    sum = Term::added(sum, v.w);
  }
  sum = block_sum<kSumThreads>(sum);
  if (threadIdx.x == 0) part[blockIdx.x] = sum;
}

/// y[row] = Σ part[row, ·], in double.
template <typename T, typename Out>
__global__ void sum_parts(const T* part, Out* y, int64_t chunks) {  // part: (rows, chunks); grid: rows
  double sum = 0;
  for (int64_t k = threadIdx.x; k < chunks; k += kSumThreads)
    sum += static_cast<double>(part[blockIdx.x * chunks + k]);
  sum = block_sum<kSumThreads>(sum);
  if (threadIdx.x == 0) y[blockIdx.x] = static_cast<Out>(sum);
}

/// y[row] = Σ f(x[row, ·]), the chunks' sums in T. x: (rows, length), y: (rows); rows >= 1
template <typename Term, typename T, typename Out>
void ordered_sums(const float* x, Out* y, int64_t rows, int64_t length, Stream stream) {
  const int64_t chunks = length > kSumChunk ? blocks_for(length, kSumChunk) : 1;
  const DeviceArray<T> part(rows * chunks);
  const bool vectors = aligned_to_vectors(x) && (rows == 1 || length % 4 == 0);
  launch<sum_chunks<Term, T>>(rows * chunks, kSumThreads, 0, stream, x, part.data(), length, chunks, vectors);
  launch<sum_parts<T, Out>>(rows, kSumThreads, 0, stream, static_cast<const T*>(part.data()), y, chunks);
}

}  // namespace mt::MT_BACKEND
