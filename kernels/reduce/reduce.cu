// Sums in a fixed order on cuda and simt. The trees and error bounds: reduce.md. First the naive version,
// then the fast one.

#include "kernels/common/ordered_sum.cuh"
#include "kernels/common/tables.h"
#include "kernels/common/vectors.cuh"
#include "kernels/device/kernel.h"
#include "kernels/reduce/reduce.h"

namespace mt::MT_BACKEND {
namespace {

// ---- 1. Naive: one thread per sum, in double

constexpr int kNaiveThreads = 64;

/// y[s] = Σ_k f(x[s · step + k · stride]) / divisor for `sums` sums of `count` elements.
template <typename Term>
__global__ void sums_naive(const float* x, float* y, int64_t sums, int64_t count, int64_t step,
                           int64_t stride, double divisor) {
  const int64_t s = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (s < sums) {
    double sum = 0;
    for (int64_t k = 0; k < count; ++k) sum = Term::added(sum, x[s * step + k * stride]);
    y[s] = static_cast<float>(sum / divisor);
  }
}

struct DoubleTerm {
  static __device__ double added(double sum, float x) { return sum + static_cast<double>(x); }
};

template <typename Term>
void all_sums_naive(const float* x, float* y, int64_t sums, int64_t count, int64_t step, int64_t stride,
                    double divisor, Stream stream) {
  if (sums == 0) return;
  launch<sums_naive<Term>>(blocks_for(sums, kNaiveThreads), kNaiveThreads, 0, stream, x, y, sums, count, step,
                           stride, divisor);
}

void require_rows(int64_t rows) {
  if (rows < 1) fail_kernel("column_mean: no rows to take the mean of");
}

void column_sum_naive(const float* x, float* y, int64_t rows, int64_t columns, Stream stream) {
  all_sums_naive<DoubleTerm>(x, y, columns, rows, 1, columns, 1, stream);
}
void column_mean_naive(const float* x, float* y, int64_t rows, int64_t columns, Stream stream) {
  require_rows(rows);
  all_sums_naive<DoubleTerm>(x, y, columns, rows, 1, columns, static_cast<double>(rows), stream);
}
void sum_naive(const float* x, float* y, int64_t n, Stream stream) {
  all_sums_naive<DoubleTerm>(x, y, 1, n, n, 1, 1, stream);
}
__device__ bool is_finite(float x) {
  return x * 0.0F == 0.0F;
}

__global__ void finite_naive(const float* x, uint8_t* flag, int64_t n) {  // x: (n); one thread
  bool finite = true;
  for (int64_t i = 0; i < n; ++i) finite = finite && is_finite(x[i]);
  *flag = finite ? 1 : 0;
}

void all_finite_naive(const float* x, uint8_t* flag, int64_t n, Stream stream) {
  launch<finite_naive>(1, 1, 0, stream, x, flag, n);
}

// ---- 2. Fast: the sum of everything is ordered_sum.cuh

void sum(const float* x, float* y, int64_t n, Stream stream) {
  ordered_sums<PlainTerm, float>(x, y, 1, n, stream);
}

// ---- 3. Fast: columns
// A warp's lanes are neighbouring columns, so each row is read in one piece. First launch: segments of 64
// rows; a warp adds 16 rows, two leaves of 8, and the block's four warps are added pairwise. Second launch: a
// column's segments, in double.

constexpr int kColumnThreads = 128;
constexpr int kColumnWarps = kColumnThreads / 32;
constexpr int kLeafRows = 8;
constexpr int kLeavesPerWarp = 2;
constexpr int64_t kSegmentRows = int64_t{kLeafRows} * kLeavesPerWarp * kColumnWarps;  // 64

/// kWidth neighbouring columns of a thread; 4 where columns is a multiple of 4 and x is aligned.
template <int kWidth>
__global__ void column_segments(const float* x, float* part, int64_t rows, int64_t columns, int64_t strips) {
  // x: (rows, columns), part: (segments, columns); grid: segments · strips of 32 kWidth columns
  SHARED(float, warps, kColumnThreads* kWidth);  // (warps, lanes, kWidth)
  const int64_t segment = blockIdx.x / strips;
  const int64_t c = (blockIdx.x % strips * 32 + simt::lane()) * kWidth;
  float total[kWidth] = {};
  for (int leaf = 0; leaf < kLeavesPerWarp; ++leaf) {
    const int64_t first = segment * kSegmentRows + (simt::warp() * kLeavesPerWarp + leaf) * kLeafRows;
    float sum[kWidth] = {};
#pragma unroll
    for (int r = 0; r < kLeafRows; ++r) {
      if (first + r < rows && c < columns) {
        const float* from = x + (first + r) * columns + c;
        if constexpr (kWidth == 4) {
          const auto v = simt::load_vector<float4>(from);
          sum[0] += v.x;
          sum[1] += v.y;
          sum[2] += v.z;
          sum[3] += v.w;
        } else {
          sum[0] += *from;
        }
      }
    }
#pragma unroll
    for (int k = 0; k < kWidth; ++k) total[k] += sum[k];
  }
#pragma unroll
  for (int k = 0; k < kWidth; ++k) warps[threadIdx.x * kWidth + k] = total[k];
  simt::sync_threads();
  if (simt::warp() == 0 && c < columns) {
    FloatGroup<kWidth> sum;
#pragma unroll
    for (int k = 0; k < kWidth; ++k) {
      const float* lane = warps + simt::lane() * kWidth + k;
      constexpr int kStep = 32 * kWidth;
      sum.value[k] = (lane[0] + lane[kStep]) + (lane[2 * kStep] + lane[3 * kStep]);
    }
    simt::store_vector(part + segment * columns + c, sum);
  }
}
static_assert(kColumnWarps == 4);

/// y[c] = Σ part[·, c] / divisor. A warp takes every eighth segment, the warps are added in order.
__global__ void column_totals(const float* part, float* y, int64_t segments, int64_t columns,
                              float divisor) {  // part: (segments, columns), y: (columns)
  SHARED(double, warps, kSumThreads);           // (warps, lanes)
  const int64_t c = blockIdx.x * int64_t{32} + simt::lane();
  double sum = 0;
  if (c < columns) {
    for (int64_t s = simt::warp(); s < segments; s += kSumThreads / 32)
      sum += static_cast<double>(part[s * columns + c]);
  }
  warps[threadIdx.x] = sum;
  simt::sync_threads();
  if (simt::warp() == 0 && c < columns) {
    for (int w = 1; w < kSumThreads / 32; ++w) sum += warps[w * 32 + simt::lane()];
    y[c] = static_cast<float>(sum) / divisor;
  }
}

void column_sum_over(const float* x, float* y, int64_t rows, int64_t columns, float divisor, Stream stream) {
  if (columns == 0) return;
  const int64_t segments = blocks_for(rows, kSegmentRows);
  const DeviceArray<float> part(segments * columns);
  const int64_t width = columns % 4 == 0 && aligned_to_vectors(x) ? 4 : 1;
  const int64_t strips = blocks_for(columns, 32 * width);
  if (segments > 0 && width == 4) {
    launch<column_segments<4>>(segments * strips, kColumnThreads, 0, stream, x, part.data(), rows, columns,
                               strips);
  } else if (segments > 0) {
    launch<column_segments<1>>(segments * strips, kColumnThreads, 0, stream, x, part.data(), rows, columns,
                               strips);
  }
  launch<column_totals>(blocks_for(columns, 32), kSumThreads, 0, stream,
                        static_cast<const float*>(part.data()), y, segments, columns, divisor);
}

void column_sum(const float* x, float* y, int64_t rows, int64_t columns, Stream stream) {
  column_sum_over(x, y, rows, columns, 1, stream);
}

void column_mean(const float* x, float* y, int64_t rows, int64_t columns, Stream stream) {
  require_rows(rows);
  column_sum_over(x, y, rows, columns, static_cast<float>(rows), stream);
}

// ---- 4. Fast: the finite flag
// A block's word, then the blocks' words; "any" has no order.

constexpr int64_t kMostFiniteBlocks = 1024;

__global__ void finite_blocks(const float* x, unsigned* bad, int64_t n,
                              bool vectors) {  // x: (n), bad: (gridDim.x)
  bool finite = true;
  const int64_t step = int64_t{4} * gridDim.x * kSumThreads;
  for (int64_t i = 4 * (static_cast<int64_t>(blockIdx.x) * kSumThreads + threadIdx.x); i < n; i += step) {
    const float4 v = load_four(x, i, n, vectors);
    finite = finite && is_finite(v.x) && is_finite(v.y) && is_finite(v.z) && is_finite(v.w);
  }
  const unsigned count = block_sum<kSumThreads>(finite ? 0U : 1U);
  if (threadIdx.x == 0) bad[blockIdx.x] = count;
}

__global__ void finite_flag(const unsigned* bad, uint8_t* flag, int blocks) {  // bad: (blocks); one block
  unsigned count = 0;
  for (int b = static_cast<int>(threadIdx.x); b < blocks; b += kSumThreads) count += bad[b] > 0 ? 1U : 0U;
  count = block_sum<kSumThreads>(count);
  if (threadIdx.x == 0) *flag = count == 0 ? 1 : 0;
}

void all_finite(const float* x, uint8_t* flag, int64_t n, Stream stream) {
  const int64_t wanted = blocks_for(n, kSumChunk);
  const int64_t blocks = wanted < kMostFiniteBlocks ? wanted : kMostFiniteBlocks;
  const DeviceArray<unsigned> bad(blocks);
  if (n > 0) launch<finite_blocks>(blocks, kSumThreads, 0, stream, x, bad.data(), n, aligned_to_vectors(x));
  launch<finite_flag>(1, kSumThreads, 0, stream, static_cast<const unsigned*>(bad.data()), flag,
                      static_cast<int>(blocks));
}

constexpr Reduce<float> kFast{column_sum, column_mean, sum, all_finite};
constexpr Reduce<float> kNaive{column_sum_naive, column_mean_naive, sum_naive, all_finite_naive};

}  // namespace

void register_reduce() {
  register_table(kDevice, kFast);
  register_table(kDevice, kNaive, "naive");
}

}  // namespace mt::MT_BACKEND
