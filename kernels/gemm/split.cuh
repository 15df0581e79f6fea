#pragma once
// Long sums over few outputs: the terms are split over blocks, which write partial results, and a second
// launch adds those up in their order. How a sum is split depends on its shape alone, so that every GPU and
// every run gives the same bits.

#include <algorithm>
#include <climits>

#include "kernels/common/device_array.cuh"
#include "kernels/gemm/tile.cuh"

namespace mt::MT_BACKEND {

inline constexpr int64_t kWantedBlocks = 256;                  // two for each multiprocessor of a large GPU
inline constexpr int64_t kLeastSplitTerms = 128;               // fewer are not worth a second launch
inline constexpr int64_t kMostSplitBytes = int64_t{64} << 20;  // of scratch memory

/// Terms of each split, a multiple of `step`, for `blocks` tiles of `outputs` elements in all.
inline int64_t split_terms(int64_t blocks, int64_t terms, int64_t outputs, int64_t step) {
  const int64_t most =
      std::min(terms / kLeastSplitTerms,
               kMostSplitBytes / (static_cast<int64_t>(sizeof(float)) * std::max<int64_t>(outputs, 1)));
  const int64_t splits = std::clamp(kWantedBlocks / blocks, int64_t{1}, std::max<int64_t>(most, 1));
  return std::max(blocks_for(blocks_for(terms, splits), step), int64_t{1}) * step;
}

/// One thread per element: result = the sum of `splits` partial results (rows, columns), in order.
template <int kThreads>
__global__ void add_splits(const float* partial, int splits, MatrixResult result) {
  const int64_t size = static_cast<int64_t>(result.rows) * result.columns;
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i < size) {
    float sum = partial[i];
    for (int s = 1; s < splits; ++s) sum += partial[s * size + i];
    result.write(static_cast<int>(i / result.columns), static_cast<int>(i % result.columns), sum);
  }
}

/// A product whose slices are runs of `terms_per_slice` terms; slice z writes result.c + z slice_size.
template <typename A, typename B>
struct ProductProblem {
  A a;
  B b;
  MatrixResult result;
  int terms;
  int terms_per_slice;
  int64_t slice_size;

  __device__ Slice<A, B, MatrixResult> slice(int z) const {
    MatrixResult here = result;
    here.c += z * slice_size;
    const int first = z * terms_per_slice;
    const int last = terms - first < terms_per_slice ? terms : first + terms_per_slice;
    return {a, b, here, result.rows, result.columns, first, last};
  }
};

template <typename Engine, typename Problem>
void launch_tiles(const Problem& problem, int64_t rows, int64_t columns, int64_t slices, int64_t shared_bytes,
                  Stream stream) {
  launch<multiply_tiles<Engine, Problem>>(
      Extent(blocks_for(rows, Engine::kRows), blocks_for(columns, Engine::kColumns), slices),
      Engine::kThreads, shared_bytes, stream, problem);
}

/// result = A B over `terms` terms. The result is not empty. Only sums that may be split are.
template <typename Engine, typename A, typename B>
void launch_product(const A& a, const B& b, const MatrixResult& result, int terms, bool may_split,
                    Stream stream) {
  const int64_t outputs = static_cast<int64_t>(result.rows) * result.columns;
  const int64_t blocks =
      blocks_for(result.rows, Engine::kRows) * blocks_for(result.columns, Engine::kColumns);
  const int64_t each =
      may_split ? split_terms(blocks, terms, outputs, Engine::kTerms) : std::max<int64_t>(terms, 1);
  const int64_t splits = std::max(blocks_for(terms, each), int64_t{1});
  constexpr int64_t kBytes = Stages<Engine, A, B>::kBytes;
  if (splits == 1) {
    launch_tiles<Engine>(ProductProblem<A, B>{a, b, result, terms, static_cast<int>(each), 0}, result.rows,
                         result.columns, 1, kBytes, stream);
    return;
  }
  const DeviceArray<float> partial(splits * outputs);
  const MatrixResult part{partial.data(), result.columns, result.rows, result.columns,
                          is_vectorised(partial.data(), result.columns, result.columns)};
  launch_tiles<Engine>(ProductProblem<A, B>{a, b, part, terms, static_cast<int>(each), outputs}, result.rows,
                       result.columns, splits, kBytes, stream);
  constexpr int kThreads = 128;
  launch<add_splits<kThreads>>(blocks_for(outputs, kThreads), kThreads, 0, stream, partial.data(),
                               static_cast<int>(splits), result);
}

/// Sizes of tiles and grids are ints.
inline int checked_size(int64_t size, const char* what) {
  if (size > INT_MAX - 65536)
    fail_kernel(std::string(what) + ": more than 2^31 rows, columns or terms, or as long lines");
  return static_cast<int>(size);
}

}  // namespace mt::MT_BACKEND
