// Selects rows, and adds rows at indices, on cuda and simt. Contract: gather.h, gather.md. First the naive
// version, then the fast one.

#include <string>

#include "kernels/common/device_array.cuh"
#include "kernels/common/report.cuh"
#include "kernels/common/scan.cuh"
#include "kernels/common/tables.h"
#include "kernels/common/vectors.cuh"
#include "kernels/device/kernel.h"
#include "kernels/gather/gather.h"

namespace mt::MT_BACKEND {
namespace {

constexpr int kThreads = 128;

// ---- Both versions: no index may be outside

/// Reports the places of indices outside of [0, rows).
__global__ void check_indices(const int64_t* indices, int64_t rows, int64_t count, FailureWord inside) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < count && (indices[i] < 0 || indices[i] >= rows)) report(inside, i);
}

/// The kernels that follow are given the check's word and write nothing where it has failed. count > 0. On
/// cuda the error is said later, when the indices may be gone: it names the place alone.
FailureWord require_indices(const int64_t* indices, int64_t rows, int64_t count, Stream stream) {
  const QueuedCheck inside(kDevice, stream, [=](int64_t place) {
    const std::string index = kDevice == Device::cuda
                                  ? "the index"
                                  : "index " + std::to_string(value_on_host(indices + place, stream));
    return "gather: " + index + " at " + std::to_string(place) + " is outside of [0, " +
           std::to_string(rows) + ")";
  });
  launch<check_indices>(blocks_for(count, kThreads), kThreads, 0, stream, indices, rows, count,
                        inside.word());
  inside.queued();
  return inside.word();
}

// ---- 1. Naive: one thread per element that is written

__global__ void gather_naive(const float* x, const int64_t* indices, float* y, int64_t columns, int64_t count,
                             FailureWord inside) {  // x: (rows, columns), y: (count, columns)
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < count * columns && !has_failed(inside)) y[i] = x[indices[i / columns] * columns + i % columns];
}

/// Each element of x looks for its sources in all indices.
__global__ void scatter_naive(const float* y, const int64_t* indices, float* x, int64_t rows, int64_t columns,
                              int64_t count, FailureWord inside) {  // y: (count, columns), x: (rows, columns)
  const int64_t t = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (t < rows * columns && !has_failed(inside)) {
    float sum = x[t];
    for (int64_t i = 0; i < count; ++i) {
      if (indices[i] == t / columns) sum += y[i * columns + t % columns];
    }
    x[t] = sum;
  }
}

void select_naive(const float* x, const int64_t* indices, float* y, int64_t rows, int64_t columns,
                  int64_t count, Stream stream) {
  if (count == 0) return;
  const FailureWord inside = require_indices(indices, rows, count, stream);
  if (columns == 0) return;
  launch<gather_naive>(blocks_for(count * columns, kThreads), kThreads, 0, stream, x, indices, y, columns,
                       count, inside);
}

void scatter_add_naive(const float* y, const int64_t* indices, float* x, int64_t rows, int64_t columns,
                       int64_t count, Stream stream) {
  if (count == 0) return;
  const FailureWord inside = require_indices(indices, rows, count, stream);
  if (columns == 0) return;
  launch<scatter_naive>(blocks_for(rows * columns, kThreads), kThreads, 0, stream, y, indices, x, rows,
                        columns, count, inside);
}

// ---- 2. Fast gather: kWidth neighbouring elements per thread
// 4 where columns is a multiple of 4 and all arrays are aligned, else 1.

/// Index: int64_t, or uint32_t (whose division is a quarter of the work) where it holds count · groups.
template <int kWidth, typename Index>
__global__ void gather_groups(
    const float* x, const int64_t* indices, float* y, Index groups, int64_t n,
    FailureWord inside) {  // x: (rows, groups, kWidth), y: (count, groups, kWidth); n = count · groups
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < n && !has_failed(inside)) {
    const Index row = static_cast<Index>(i) / groups;
    const Index group = static_cast<Index>(i) % groups;
    const int64_t from = simt::ldg(indices + row) * static_cast<int64_t>(groups) + group;
    simt::store_vector(y + i * kWidth, simt::load_vector<FloatGroup<kWidth>>(x + from * kWidth));
  }
}

template <int kWidth>
void gather_as(const float* x, const int64_t* indices, float* y, int64_t columns, int64_t count,
               FailureWord inside, Stream stream) {
  const int64_t groups = columns / kWidth;
  const int64_t n = count * groups;
  if (n < INT32_MAX) {
    launch<gather_groups<kWidth, uint32_t>>(blocks_for(n, kThreads), kThreads, 0, stream, x, indices, y,
                                            static_cast<uint32_t>(groups), n, inside);
  } else {
    launch<gather_groups<kWidth, int64_t>>(blocks_for(n, kThreads), kThreads, 0, stream, x, indices, y,
                                           groups, n, inside);
  }
}

void select(const float* x, const int64_t* indices, float* y, int64_t rows, int64_t columns, int64_t count,
            Stream stream) {
  if (count == 0) return;
  const FailureWord inside = require_indices(indices, rows, count, stream);
  if (columns == 0) return;
  if (columns % 4 == 0 && aligned_to_vectors(x, y)) {
    gather_as<4>(x, indices, y, columns, count, inside, stream);
  } else {
    gather_as<1>(x, indices, y, columns, count, inside, stream);
  }
}

// ---- 3. Fast scatter-add: targets have owners, sources keep their order
// A block owns a range of rows of x and a strip of their columns. It walks all indices in order, 512 at a
// time, lists those of its rows, and each thread adds the listed rows to its columns one after another: no
// sorting, no atomics, and for each element of x the order of i.

constexpr int kWalk = 512;                    // indices at a time
constexpr int kPerThread = kWalk / kThreads;  // neighbours that a thread looks at
constexpr int64_t kMostOwners = 512;          // ranges of rows, so that reading indices stays cheap

struct Hit {
  int64_t source;  // row of y
  int64_t target;  // row of x
};

template <int kWidth>
__global__ void scatter_owned(const float* y, const int64_t* indices, float* x, int64_t rows, int64_t columns,
                              int64_t count, int64_t owned, FailureWord inside) {
  // y: (count, columns), x: (rows, columns); grid: (ranges of `owned` rows, strips of columns)
  SHARED(Hit, hits, kWalk);
  if (has_failed(inside)) count = 0;  // for all threads alike
  const int64_t first = blockIdx.x * owned;
  const int64_t end = first + owned < rows ? first + owned : rows;
  const int64_t c = (static_cast<int64_t>(blockIdx.y) * kThreads + threadIdx.x) * kWidth;
  for (int64_t begin = 0; begin < count; begin += kWalk) {
    int64_t target[kPerThread];
    int mine = 0;
#pragma unroll
    for (int k = 0; k < kPerThread; ++k) {
      const int64_t i = begin + threadIdx.x * kPerThread + k;
      target[k] = i < count ? simt::ldg(indices + i) : -1;
      if (target[k] < first || target[k] >= end) target[k] = -1;
      if (target[k] >= 0) ++mine;
    }
    const auto place = block_exclusive_sum<kThreads>(mine);
    int next = place.before;
#pragma unroll
    for (int k = 0; k < kPerThread; ++k) {
      if (target[k] >= 0) hits[next++] = {begin + threadIdx.x * kPerThread + k, target[k]};
    }
    simt::sync_threads();  // hits are there; they are read before the next block_exclusive_sum lets anyone on
    if (c < columns) {
      for (int h = 0; h < place.all;) {  // runs of one target stay in registers
        const int64_t row = hits[h].target;
        auto sum = simt::load_vector<FloatGroup<kWidth>>(x + row * columns + c);
        for (; h < place.all && hits[h].target == row; ++h) {
          const auto term = simt::load_vector<FloatGroup<kWidth>>(y + hits[h].source * columns + c);
#pragma unroll
          for (int w = 0; w < kWidth; ++w) sum.value[w] += term.value[w];
        }
        simt::store_vector(x + row * columns + c, sum);
      }
    }
  }
}

void scatter_add(const float* y, const int64_t* indices, float* x, int64_t rows, int64_t columns,
                 int64_t count, Stream stream) {
  if (count == 0) return;
  const FailureWord inside = require_indices(indices, rows, count, stream);
  if (columns == 0) return;
  const int64_t owned = blocks_for(rows, kMostOwners);
  const int64_t width = columns % 4 == 0 && aligned_to_vectors(x, y) ? 4 : 1;
  const Extent grid{blocks_for(rows, owned), blocks_for(columns, width * kThreads)};
  if (width == 4) {
    launch<scatter_owned<4>>(grid, kThreads, 0, stream, y, indices, x, rows, columns, count, owned, inside);
  } else {
    launch<scatter_owned<1>>(grid, kThreads, 0, stream, y, indices, x, rows, columns, count, owned, inside);
  }
}

constexpr Gather<float> kFast{select, scatter_add};
constexpr Gather<float> kNaive{select_naive, scatter_add_naive};

}  // namespace

void register_gather() {
  register_table(kDevice, kFast);
  register_table(kDevice, kNaive, "naive");
}

}  // namespace mt::MT_BACKEND
