// Pointwise arithmetic on cuda and simt. Formulas: elementwise.md. The naive version takes one element per
// thread, the fast one four; both kernels are in kernels/common/map.cuh.

#include "kernels/common/map.cuh"
#include "kernels/common/tables.h"
#include "kernels/device/kernel.h"
#include "kernels/elementwise/elementwise.h"

namespace mt::MT_BACKEND {
namespace {

struct Add {
  __device__ float operator()(float a, float b) const { return a + b; }
};
struct Subtract {
  __device__ float operator()(float a, float b) const { return a - b; }
};
struct Multiply {
  __device__ float operator()(float a, float b) const { return a * b; }
};
struct Scale {
  float factor;
  __device__ float operator()(float x) const { return factor * x; }
};
// ---- 1. Naive

template <typename F>
void pairs_naive(const float* a, const float* b, float* y, int64_t n, Stream stream) {
  map_naive(a, b, y, n, F{}, stream);
}

void scale_naive(const float* x, float factor, float* y, int64_t n, Stream stream) {
  map_naive(x, y, n, Scale{factor}, stream);
}

/// Index: int64_t, or uint32_t (whose division is a quarter of the work) where n < 2^31.
template <typename Index>
__global__ void add_row_elements(const float* x, const float* row, float* y, int64_t n,
                                 Index columns) {  // x, y: (rows, columns) of n elements; row: (columns)
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < n) y[i] = x[i] + row[static_cast<Index>(i) % columns];
}

void add_row_naive(const float* x, const float* row, float* y, int64_t rows, int64_t columns, Stream stream) {
  const int64_t n = rows * columns;
  if (n == 0) return;
  launch<add_row_elements<int64_t>>(blocks_for(n, kMapThreads), kMapThreads, 0, stream, x, row, y, n,
                                    columns);
}

// ---- 2. Fast

template <typename F>
void pairs(const float* a, const float* b, float* y, int64_t n, Stream stream) {
  map(a, b, y, n, F{}, stream);
}

void scale(const float* x, float factor, float* y, int64_t n, Stream stream) {
  map(x, y, n, Scale{factor}, stream);
}

constexpr int kRowThreads = 128;
constexpr int64_t kRowsPerBlock = 16;

/// A thread keeps its kWidth columns of the row (grid.y) while it goes through kRowsPerBlock rows (grid.x).
/// kWidth is 4 where columns is a multiple of 4 and all arrays are aligned, else 1.
template <int kWidth>
__global__ void add_row_columns(const float* x, const float* row, float* y, int64_t rows,
                                int64_t columns) {  // x, y: (rows, columns); row: (columns)
  const int64_t c = kWidth * (static_cast<int64_t>(blockIdx.y) * blockDim.x + threadIdx.x);
  const int64_t first = blockIdx.x * kRowsPerBlock;
  const int64_t end = first + kRowsPerBlock < rows ? first + kRowsPerBlock : rows;
  if (c < columns) {
    if constexpr (kWidth == 4) {
      const auto r = simt::load_vector<float4>(row + c);
      for (int64_t i = first; i < end; ++i) {
        const auto v = simt::load_vector<float4>(x + i * columns + c);
        simt::store_vector(y + i * columns + c, float4{v.x + r.x, v.y + r.y, v.z + r.z, v.w + r.w});
      }
    } else {
      const float r = row[c];
      for (int64_t i = first; i < end; ++i) y[i * columns + c] = x[i * columns + c] + r;
    }
  }
}

void add_row(const float* x, const float* row, float* y, int64_t rows, int64_t columns, Stream stream) {
  const int64_t n = rows * columns;
  if (n == 0) return;
  // Short rows would leave most of a block idle; they, and rows longer than a grid's height, are taken as one
  // flat array.
  const int64_t width = columns % 4 == 0 && aligned_to_vectors(x, row, y) ? 4 : 1;
  const Extent grid{blocks_for(rows, kRowsPerBlock), blocks_for(columns, width * kRowThreads)};
  if (columns < 32 * width || grid.y > 65535) {
    const int64_t blocks = blocks_for(n, kMapThreads);
    if (n < INT32_MAX) {
      launch<add_row_elements<uint32_t>>(blocks, kMapThreads, 0, stream, x, row, y, n,
                                         static_cast<uint32_t>(columns));
    } else {
      launch<add_row_elements<int64_t>>(blocks, kMapThreads, 0, stream, x, row, y, n, columns);
    }
  } else if (width == 4) {
    launch<add_row_columns<4>>(grid, kRowThreads, 0, stream, x, row, y, rows, columns);
  } else {
    launch<add_row_columns<1>>(grid, kRowThreads, 0, stream, x, row, y, rows, columns);
  }
}

constexpr Elementwise<float> kFast{pairs<Add>, pairs<Subtract>, pairs<Multiply>, scale, add_row};
constexpr Elementwise<float> kNaive{pairs_naive<Add>, pairs_naive<Subtract>, pairs_naive<Multiply>,
                                    scale_naive, add_row_naive};

}  // namespace

void register_elementwise() {
  register_table(kDevice, kFast);
  register_table(kDevice, kNaive, "naive");
}

}  // namespace mt::MT_BACKEND
