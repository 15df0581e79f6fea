// Row-wise L2 normalisation on cuda and simt. Math and error bounds: l2_normalise.md. First the naive
// version, then the fast one.

#include "kernels/common/tables.h"
#include "kernels/common/vectors.cuh"
#include "kernels/common/warp.cuh"
#include "kernels/device/kernel.h"
#include "kernels/l2_normalise/l2_normalise.h"

namespace mt::MT_BACKEND {
namespace {

// ---- 1. Naive: one thread per row

constexpr int kNaiveThreads = 64;

__global__ void l2_forward_naive(const float* x, float* y, float* norm, int64_t rows, int64_t columns,
                                 float eps) {  // x, y: (rows, columns); norm: (rows)
  const int64_t row = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (row < rows) {
    double squares = 0;
    for (int64_t c = 0; c < columns; ++c) {
      const double value = static_cast<double>(x[row * columns + c]);
      squares += value * value;
    }
    const float length = static_cast<float>(sqrt(squares));
    const float divisor = length < eps ? eps : length;
    for (int64_t c = 0; c < columns; ++c) y[row * columns + c] = x[row * columns + c] / divisor;
    norm[row] = length;
  }
}

__global__ void l2_backward_naive(const float* y, const float* norm, const float* dy, float* dx, int64_t rows,
                                  int64_t columns, float eps) {  // y, dy, dx: (rows, columns)
  const int64_t row = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (row < rows) {
    const bool clamped = norm[row] < eps;
    double dot = 0;
    for (int64_t c = 0; c < columns && !clamped; ++c) {
      dot += static_cast<double>(y[row * columns + c]) * static_cast<double>(dy[row * columns + c]);
    }
    const float along = static_cast<float>(dot);
    const float divisor = clamped ? eps : norm[row];
    for (int64_t c = 0; c < columns; ++c) {
      const int64_t i = row * columns + c;
      dx[i] = (dy[i] - y[i] * along) / divisor;
    }
  }
}

void forward_naive(const float* x, float* y, float* norm, int64_t rows, int64_t columns, float eps,
                   Stream stream) {
  if (rows == 0) return;
  launch<l2_forward_naive>(blocks_for(rows, kNaiveThreads), kNaiveThreads, 0, stream, x, y, norm, rows,
                           columns, eps);
}

void backward_naive(const float* y, const float* norm, const float* dy, float* dx, int64_t rows,
                    int64_t columns, float eps, Stream stream) {
  if (rows == 0) return;
  launch<l2_backward_naive>(blocks_for(rows, kNaiveThreads), kNaiveThreads, 0, stream, y, norm, dy, dx, rows,
                            columns, eps);
}

// ---- 2. Fast, short rows: one warp per row, the row in registers
// Lane l holds four neighbouring columns from 4l, 4l + 128, … on: one 16-byte access each where the rows'
// starts allow it. Each element is read and written once.

constexpr int kWarpsPerBlock = 4;
constexpr int kColumnsPerStep = 128;  // of a warp
constexpr int64_t kLongestWarpRow = 1024;

__device__ double dot_of(const float4& a, const float4& b) {
  return static_cast<double>(a.x) * static_cast<double>(b.x) +
         static_cast<double>(a.y) * static_cast<double>(b.y) +
         (static_cast<double>(a.z) * static_cast<double>(b.z) +
          static_cast<double>(a.w) * static_cast<double>(b.w));
}
__device__ float4 quotient(const float4& a, float divisor) {
  return {a.x / divisor, a.y / divisor, a.z / divisor, a.w / divisor};
}
/// (g − y along) / divisor
__device__ float4 tangent(const float4& g, const float4& y, float along, float divisor) {
  return quotient({g.x - y.x * along, g.y - y.y * along, g.z - y.z * along, g.w - y.w * along}, divisor);
}

/// kSteps * 128 >= columns. Warps beyond the rows compute on zeros and store nothing: all must reach the
/// shuffles.
template <int kSteps>
__global__ void l2_forward_warp(const float* x, float* y, float* norm, int64_t rows, int64_t columns,
                                float eps, bool vectors) {  // x, y: (rows, columns)
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kWarpsPerBlock + simt::warp();
  const int64_t count = row < rows ? columns : 0;
  const int64_t start = row * columns;
  float4 value[kSteps];
  double squares = 0;
#pragma unroll
  for (int k = 0; k < kSteps; ++k) {
    const int64_t c = k * kColumnsPerStep + 4 * simt::lane();
    value[k] = load_four(x + start, c, count, vectors);
    squares += dot_of(value[k], value[k]);
  }
  const float length = static_cast<float>(sqrt(warp_sum(squares)));
  const float divisor = length < eps ? eps : length;
#pragma unroll
  for (int k = 0; k < kSteps; ++k) {
    const int64_t c = k * kColumnsPerStep + 4 * simt::lane();
    store_four(y + start, c, count, vectors, quotient(value[k], divisor));
  }
  if (row < rows && simt::lane() == 0) norm[row] = length;
}

template <int kSteps>
__global__ void l2_backward_warp(const float* y, const float* norm, const float* dy, float* dx, int64_t rows,
                                 int64_t columns, float eps, bool vectors) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kWarpsPerBlock + simt::warp();
  const int64_t count = row < rows ? columns : 0;
  const int64_t start = row * columns;
  float4 unit[kSteps];
  float4 upstream[kSteps];
  double dot = 0;
#pragma unroll
  for (int k = 0; k < kSteps; ++k) {
    const int64_t c = k * kColumnsPerStep + 4 * simt::lane();
    unit[k] = load_four(y + start, c, count, vectors);
    upstream[k] = load_four(dy + start, c, count, vectors);
    dot += dot_of(unit[k], upstream[k]);
  }
  const float length = row < rows ? norm[row] : 1.0F;
  const bool clamped = length < eps;
  const double total = warp_sum(dot);
  const float along = clamped ? 0.0F : static_cast<float>(total);
#pragma unroll
  for (int k = 0; k < kSteps; ++k) {
    const int64_t c = k * kColumnsPerStep + 4 * simt::lane();
    store_four(dx + start, c, count, vectors, tangent(upstream[k], unit[k], along, clamped ? eps : length));
  }
}

// ---- 3. Fast, long rows: one block per row, read twice (the second time mostly from L2)

constexpr int kBlockThreads = 256;

__global__ void l2_forward_block(const float* x, float* y, float* norm, int64_t columns, float eps,
                                 bool vectors) {  // x, y: (gridDim.x, columns)
  const int64_t start = static_cast<int64_t>(blockIdx.x) * columns;
  double mine = 0;
  for (int64_t c = 4 * threadIdx.x; c < columns; c += 4 * kBlockThreads) {
    const float4 value = load_four(x + start, c, columns, vectors);
    mine += dot_of(value, value);
  }
  const float length = static_cast<float>(sqrt(block_sum<kBlockThreads>(mine)));
  const float divisor = length < eps ? eps : length;
#pragma unroll 1  // 32 registers: eight blocks
  for (int64_t c = 4 * threadIdx.x; c < columns; c += 4 * kBlockThreads) {
    store_four(y + start, c, columns, vectors, quotient(load_four(x + start, c, columns, vectors), divisor));
  }
  if (threadIdx.x == 0) norm[blockIdx.x] = length;
}

__global__ void l2_backward_block(const float* y, const float* norm, const float* dy, float* dx,
                                  int64_t columns, float eps, bool vectors) {
  const int64_t start = static_cast<int64_t>(blockIdx.x) * columns;
  double mine = 0;
  for (int64_t c = 4 * threadIdx.x; c < columns; c += 4 * kBlockThreads) {
    mine += dot_of(load_four(y + start, c, columns, vectors), load_four(dy + start, c, columns, vectors));
  }
  const double total = block_sum<kBlockThreads>(mine);
  const float length = norm[blockIdx.x];
  const bool clamped = length < eps;
  const float along = clamped ? 0.0F : static_cast<float>(total);
  for (int64_t c = 4 * threadIdx.x; c < columns; c += 4 * kBlockThreads) {
    const float4 unit = load_four(y + start, c, columns, vectors);
    const float4 upstream = load_four(dy + start, c, columns, vectors);
    store_four(dx + start, c, columns, vectors, tangent(upstream, unit, along, clamped ? eps : length));
  }
}

// ---- Host: which kernel

void forward(const float* x, float* y, float* norm, int64_t rows, int64_t columns, float eps, Stream stream) {
  if (rows == 0) return;
  const bool vectors = columns % 4 == 0 && aligned_to_vectors(x, y);
  const auto per_warp = [&]<int kSteps>() {
    launch<l2_forward_warp<kSteps>>(blocks_for(rows, kWarpsPerBlock), kWarpsPerBlock * 32, 0, stream, x, y,
                                    norm, rows, columns, eps, vectors);
  };
  if (columns <= kColumnsPerStep) {
    per_warp.template operator()<1>();
  } else if (columns <= 4 * kColumnsPerStep) {
    per_warp.template operator()<4>();
  } else if (columns <= kLongestWarpRow) {
    per_warp.template operator()<8>();
  } else {
    launch<l2_forward_block>(rows, kBlockThreads, 0, stream, x, y, norm, columns, eps, vectors);
  }
}

void backward(const float* y, const float* norm, const float* dy, float* dx, int64_t rows, int64_t columns,
              float eps, Stream stream) {
  if (rows == 0) return;
  const bool vectors = columns % 4 == 0 && aligned_to_vectors(y, dy, dx);
  const auto per_warp = [&]<int kSteps>() {
    launch<l2_backward_warp<kSteps>>(blocks_for(rows, kWarpsPerBlock), kWarpsPerBlock * 32, 0, stream, y,
                                     norm, dy, dx, rows, columns, eps, vectors);
  };
  if (columns <= kColumnsPerStep) {
    per_warp.template operator()<1>();
  } else if (columns <= 4 * kColumnsPerStep) {
    per_warp.template operator()<4>();
  } else if (columns <= kLongestWarpRow) {
    per_warp.template operator()<8>();
  } else {
    launch<l2_backward_block>(rows, kBlockThreads, 0, stream, y, norm, dy, dx, columns, eps, vectors);
  }
}

constexpr L2Normalise<float> kFast{forward, backward};
constexpr L2Normalise<float> kNaive{forward_naive, backward_naive};

}  // namespace

void register_l2_normalise() {
  register_table(kDevice, kFast);
  register_table(kDevice, kNaive, "naive");
}

}  // namespace mt::MT_BACKEND
