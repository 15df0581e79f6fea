// Row-wise softmax on cuda and simt. Math and error bounds: softmax.md. First the naive version, then the
// fast one.

#include "kernels/common/log_sum_exp.cuh"
#include "kernels/common/tables.h"
#include "kernels/common/warp.cuh"
#include "kernels/device/kernel.h"
#include "kernels/softmax/softmax.h"

namespace mt::MT_BACKEND {
namespace {

// ---- 1. Naive: one thread per row
// Neighbouring threads read addresses a row apart: each load of a warp touches 32 cache lines and uses 4
// bytes of each.

constexpr int kNaiveThreads = 64;

__global__ void softmax_forward_naive(const float* x, float* y, int64_t rows,
                                      int64_t columns) {  // x, y: (rows, columns)
  const int64_t row = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (row < rows) {
    const float* in = x + row * columns;
    float* out = y + row * columns;
    float largest = -INFINITY;
    for (int64_t c = 0; c < columns; ++c)
      largest = fmaxf(largest, in[c]);  // NaN comes back in through expf below
    float sum = 0;
    for (int64_t c = 0; c < columns; ++c) {
      out[c] = expf(in[c] - largest);
      sum += out[c];
    }
    for (int64_t c = 0; c < columns; ++c) out[c] /= sum;
  }
}

__global__ void softmax_backward_naive(const float* y, const float* dy, float* dx, int64_t rows,
                                       int64_t columns) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (row < rows) {
    float dot = 0;
    for (int64_t c = 0; c < columns; ++c) dot += y[row * columns + c] * dy[row * columns + c];
    for (int64_t c = 0; c < columns; ++c)
      dx[row * columns + c] = y[row * columns + c] * (dy[row * columns + c] - dot);
  }
}

void forward_naive(const float* x, float* y, int64_t rows, int64_t columns, Stream stream) {
  if (rows == 0) return;
  launch<softmax_forward_naive>(blocks_for(rows, kNaiveThreads), kNaiveThreads, 0, stream, x, y, rows,
                                columns);
}

void backward_naive(const float* y, const float* dy, float* dx, int64_t rows, int64_t columns,
                    Stream stream) {
  if (rows == 0) return;
  launch<softmax_backward_naive>(blocks_for(rows, kNaiveThreads), kNaiveThreads, 0, stream, y, dy, dx, rows,
                                 columns);
}

// ---- 2. Fast, short rows: one warp per row, the row in registers
// Lane l holds columns l, l+32, …: loads are coalesced, and each element is read and written once.

constexpr int kWarpsPerBlock = 4;
constexpr int64_t kLongestWarpRow = 1024;

/// kPerLane * 32 >= columns. Lanes and warps beyond the data compute on -inf and store nothing: all must
/// reach the shuffles.
template <int kPerLane>
__global__ void softmax_forward_warp(const float* x, float* y, int64_t rows,
                                     int64_t columns) {  // x, y: (rows, columns)
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kWarpsPerBlock + simt::warp();
  const int64_t count = row < rows ? columns : 0;
  float value[kPerLane];  // columns lane, lane+32, …
  float largest = -INFINITY;
#pragma unroll
  for (int i = 0; i < kPerLane; ++i) {
    const int64_t c = i * 32 + simt::lane();
    value[i] = c < count ? x[row * columns + c] : -INFINITY;
    largest = fmaxf(largest, value[i]);
  }
  largest = warp_reduce<Larger>(largest);  // a NaN comes back in through expf
  float sum = 0;
#pragma unroll
  for (int i = 0; i < kPerLane; ++i) {
    value[i] = expf(value[i] - largest);
    sum += value[i];
  }
  sum = warp_sum(sum);
#pragma unroll
  for (int i = 0; i < kPerLane; ++i) {
    const int64_t c = i * 32 + simt::lane();
    if (c < count) y[row * columns + c] = value[i] / sum;
  }
}

template <int kPerLane>
__global__ void softmax_backward_warp(const float* y, const float* dy, float* dx, int64_t rows,
                                      int64_t columns) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kWarpsPerBlock + simt::warp();
  const int64_t count = row < rows ? columns : 0;
  float probability[kPerLane];
  float upstream[kPerLane];
  float dot = 0;
#pragma unroll
  for (int i = 0; i < kPerLane; ++i) {
    const int64_t c = i * 32 + simt::lane();
    probability[i] = c < count ? y[row * columns + c] : 0.0F;
    upstream[i] = c < count ? dy[row * columns + c] : 0.0F;
    dot += probability[i] * upstream[i];
  }
  dot = warp_sum(dot);
#pragma unroll
  for (int i = 0; i < kPerLane; ++i) {
    const int64_t c = i * 32 + simt::lane();
    if (c < count) dx[row * columns + c] = probability[i] * (upstream[i] - dot);
  }
}

// ---- 3. Fast, long rows: one block per row, maximum and sum in one pass
// log_sum_exp.cuh; x is read twice, the second time mostly from L2.

constexpr int kBlockThreads = 256;
constexpr int kBlockWarps = kBlockThreads / 32;

__global__ void softmax_forward_block(const float* x, float* y,
                                      int64_t columns) {  // x, y: (gridDim.x, columns)
  const float* in = x + static_cast<int64_t>(blockIdx.x) * columns;
  float* out = y + static_cast<int64_t>(blockIdx.x) * columns;
  SHARED(MaxAndSum, part, kBlockWarps);

  MaxAndSum mine = empty_sum();
  for (int64_t c = threadIdx.x; c < columns; c += kBlockThreads) {
    mine = added(mine, in[c]);
  }
  mine = warp_merged(mine);
  if (simt::lane() == 0) part[simt::warp()] = mine;
  simt::sync_threads();
  MaxAndSum all = part[0];
  for (int w = 1; w < kBlockWarps; ++w) all = merged(all, part[w]);
  for (int64_t c = threadIdx.x; c < columns; c += kBlockThreads) out[c] = expf(in[c] - all.largest) / all.sum;
}

__global__ void softmax_backward_block(const float* y, const float* dy, float* dx, int64_t columns) {
  const int64_t start = static_cast<int64_t>(blockIdx.x) * columns;
  float dot = 0;
  for (int64_t c = threadIdx.x; c < columns; c += kBlockThreads) dot += y[start + c] * dy[start + c];
  const float total = block_sum<kBlockThreads>(dot);
  for (int64_t c = threadIdx.x; c < columns; c += kBlockThreads)
    dx[start + c] = y[start + c] * (dy[start + c] - total);
}

// ---- Host: which kernel

void forward(const float* x, float* y, int64_t rows, int64_t columns, Stream stream) {
  if (rows == 0) return;
  const Extent warp_grid = blocks_for(rows, kWarpsPerBlock);
  const Extent warp_block = kWarpsPerBlock * 32;
  if (columns <= 64) {
    launch<softmax_forward_warp<2>>(warp_grid, warp_block, 0, stream, x, y, rows, columns);
  } else if (columns <= 256) {
    launch<softmax_forward_warp<8>>(warp_grid, warp_block, 0, stream, x, y, rows, columns);
  } else if (columns <= kLongestWarpRow) {
    launch<softmax_forward_warp<32>>(warp_grid, warp_block, 0, stream, x, y, rows, columns);
  } else {
    launch<softmax_forward_block>(rows, kBlockThreads, 0, stream, x, y, columns);
  }
}

void backward(const float* y, const float* dy, float* dx, int64_t rows, int64_t columns, Stream stream) {
  if (rows == 0) return;
  const Extent warp_grid = blocks_for(rows, kWarpsPerBlock);
  const Extent warp_block = kWarpsPerBlock * 32;
  if (columns <= 64) {
    launch<softmax_backward_warp<2>>(warp_grid, warp_block, 0, stream, y, dy, dx, rows, columns);
  } else if (columns <= 256) {
    launch<softmax_backward_warp<8>>(warp_grid, warp_block, 0, stream, y, dy, dx, rows, columns);
  } else if (columns <= kLongestWarpRow) {
    launch<softmax_backward_warp<32>>(warp_grid, warp_block, 0, stream, y, dy, dx, rows, columns);
  } else {
    launch<softmax_backward_block>(rows, kBlockThreads, 0, stream, y, dy, dx, columns);
  }
}

constexpr Softmax<float> kFast{forward, backward};
constexpr Softmax<float> kNaive{forward_naive, backward_naive};

}  // namespace

void register_softmax() {
  register_table(kDevice, kFast);
  register_table(kDevice, kNaive, "naive");
}

}  // namespace mt::MT_BACKEND
