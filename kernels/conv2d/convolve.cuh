#pragma once
// The host's side of a convolution's gradients for one family of engines: which operands, which slices; and
// what forward.cuh shares with them.

#include <vector>

#include "kernels/conv2d/conv2d.h"
#include "kernels/conv2d/patches.cuh"
#include "kernels/gemm/gemm_versions.cuh"
#include "kernels/gemm/split.cuh"

namespace mt::MT_BACKEND {

inline int64_t at_least_one(int64_t n) {
  return n < 1 ? 1 : n;
}

/// For sizes that check_conv2d_sizes() has let pass.
inline int as_int(int64_t size) {
  return static_cast<int>(size);
}

/// 1 × 1, stride 1, no padding: pixels × channels times channels × filters.
inline bool is_matrix_product(const Conv2dShape& d) {
  return d.r == 1 && d.s == 1 && d.stride == 1 && d.padding == 0;
}

/// Throws when a number of pixels or terms is no int.
inline void check_conv2d_sizes(const Conv2dShape& d) {
  checked_size(d.n * d.h * d.w, "conv2d");
  checked_size(d.n * d.out_h() * d.out_w(), "conv2d");
  checked_size(d.r * d.s * d.c, "conv2d");
  checked_size(d.r * d.s * d.k, "conv2d");
}

/// Of an image (…,H,W,C) under `rows` × `columns` taps, for out_h × out_w outputs in each of n images.
template <bool kAlong, int kVector>
Patches<kAlong, kVector> patches_of(const float* pixels, int64_t n, int64_t h, int64_t w, int64_t c,
                                    int64_t out_h, int64_t out_w, int64_t rows, int64_t columns,
                                    int64_t stride, int64_t top, int64_t left) {
  return {pixels,
          as_int(h),
          as_int(w),
          as_int(c),
          as_int(stride),
          as_int(top),
          as_int(left),
          as_int(n * out_h * out_w),
          as_int(rows * columns * c),
          Divider(at_least_one(out_h * out_w)),
          Divider(at_least_one(out_w)),
          Divider(at_least_one(c)),
          Divider(at_least_one(columns))};
}

// ---- Gradient of x: for each class of pixels a convolution of dy with its taps

/// Rows first, first + stride … of x (or columns), and the taps that reach them: conv2d.md.
struct TapClass {
  TapClass(int64_t residue, int64_t size, int64_t filter, int64_t stride, int64_t padding) {
    first = (residue - padding % stride + stride) % stride;
    count = first < size ? blocks_for(size - first, stride) : 0;
    taps = residue < filter ? blocks_for(filter - residue, stride) : 0;
    last_tap = residue + (taps - 1) * stride;
    before = taps - 1 - (first + padding - residue) / stride;
  }
  int64_t first;
  int64_t count;
  int64_t taps;
  int64_t last_tap;
  int64_t before;
};

inline constexpr int kClassesPerLaunch = 4;  // all of stride 2

template <int kVector>
struct ClassesProblem {
  using ClassSlice = Slice<Patches<true, kVector>, TurnedWeights<kVector>, PixelClass>;
  ClassSlice slices[kClassesPerLaunch];
  __device__ const ClassSlice& slice(int z) const { return slices[z]; }
};

template <int kVector>
typename ClassesProblem<kVector>::ClassSlice class_slice(const float* dy, const float* weight, float* dx,
                                                         const Conv2dShape& d, const TapClass& rows,
                                                         const TapClass& columns) {
  const int64_t terms = rows.taps * columns.taps * d.k;
  const int64_t pixels = d.n * rows.count * columns.count;
  return {patches_of<true, kVector>(dy, d.n, d.out_h(), d.out_w(), d.k, rows.count, columns.count, rows.taps,
                                    columns.taps, 1, rows.before, columns.before),
          {weight, as_int(d.r), as_int(d.s), as_int(d.c), as_int(rows.last_tap), as_int(columns.last_tap),
           as_int(d.stride), as_int(terms), Divider(at_least_one(d.k)), Divider(at_least_one(columns.taps))},
          {dx, as_int(d.h), as_int(d.w), as_int(d.c), as_int(rows.first), as_int(columns.first),
           as_int(d.stride), as_int(pixels), is_vectorised(dx, d.c, d.c),
           Divider(at_least_one(rows.count * columns.count)), Divider(at_least_one(columns.count))},
          as_int(pixels),
          as_int(d.c),
          0,
          as_int(terms)};
}

template <typename Engines, int kVector>
void backward_data_in_vectors(const float* dy, const float* weight, float* dx, const Conv2dShape& d,
                              Stream stream) {
  using Engine = typename Engines::template For<kVector>;
  using ClassSlice = typename ClassesProblem<kVector>::ClassSlice;
  std::vector<ClassSlice> slices;
  const auto launch_slices = [&] {
    int most_rows = 0;
    for (const ClassSlice& slice : slices) most_rows = std::max(most_rows, slice.rows);
    const int64_t count = static_cast<int64_t>(slices.size());
    while (slices.size() < kClassesPerLaunch) slices.push_back(slices.back());  // not launched
    launch_tiles<Engine>(ClassesProblem<kVector>{{slices[0], slices[1], slices[2], slices[3]}}, most_rows,
                         d.c, count, Stages<Engine, Patches<true, kVector>, TurnedWeights<kVector>>::kBytes,
                         stream);
    slices.clear();
  };
  for (int64_t row = 0; row < d.stride; ++row) {
    for (int64_t column = 0; column < d.stride; ++column) {
      const TapClass rows(row, d.h, d.r, d.stride, d.padding);
      const TapClass columns(column, d.w, d.s, d.stride, d.padding);
      if (rows.count * columns.count == 0) continue;
      slices.push_back(class_slice<kVector>(dy, weight, dx, d, rows, columns));  // without taps: zeros
      if (slices.size() == kClassesPerLaunch) launch_slices();
    }
  }
  if (!slices.empty()) launch_slices();
}

template <typename Engines>
void backward_data_with(GemmFunction* multiply, const float* dy, const float* weight, float* dx,
                        const Conv2dShape& d, Stream stream) {
  check_conv2d_shape(d);
  check_conv2d_sizes(d);
  if (d.n * d.h * d.w * d.c == 0) return;
  if (is_matrix_product(d)) {
    multiply(false, false, d.n * d.h * d.w, d.c, d.k, dy, d.k, weight, d.c, 0, dx, d.c, {}, stream);
  } else if (is_vectorised(dy, d.k, d.k) && is_vectorised(weight, d.c, d.c)) {
    backward_data_in_vectors<Engines, 4>(dy, weight, dx, d, stream);
  } else {
    backward_data_in_vectors<Engines, 1>(dy, weight, dx, d, stream);
  }
}

// ---- Gradient of the weights: dw (K, RSC) = dyᵀ (K, NPQ) patches (NPQ, RSC), shard by shard

inline constexpr int64_t kMostShardsPerLaunch = 32;

/// Slice z sums chunk z % chunks of shard first_shard + z / chunks into partial (slices, K, RSC).
template <int kVector>
struct ShardsProblem {
  MatrixOperand<false, kVector> dy;  // of all shards
  Patches<false, kVector> patches;   // of all shards
  MatrixResult partial;
  int first_shard;
  int chunks;  // of a shard
  int terms_per_chunk;
  int shard_terms;         // 8 PQ
  int64_t shard_elements;  // 8 HWC

  __device__ auto slice(int z) const {
    const int shard = first_shard + z / chunks;
    const int rest = dy.terms - shard * shard_terms;
    const int terms = rest < shard_terms ? rest : shard_terms;
    const int begin = z % chunks * terms_per_chunk;
    const int end = begin + terms_per_chunk;
    Slice<MatrixOperand<false, kVector>, Patches<false, kVector>, MatrixResult> here{
        dy, patches, partial, partial.rows, partial.columns, begin, end < terms ? end : terms};
    here.a.data += int64_t{shard} * shard_terms * dy.stride;
    here.a.terms = terms;
    here.b.pixels += shard * shard_elements;
    here.b.outputs = terms;
    here.result.c += z * (int64_t{partial.rows} * partial.columns);
    return here;
  }
};

/// One thread per weight: dw = dw (or 0) + the shards in order, each the sum of its chunks in order.
template <int kThreads>
__global__ void add_shards(const float* partial, int64_t size, int shards, int chunks, bool start,
                           float* dw) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i < size) {
    float sum = start ? 0 : dw[i];
    for (int shard = 0; shard < shards; ++shard) {
      float part = 0;
      for (int chunk = 0; chunk < chunks; ++chunk)
        part += partial[(int64_t{shard} * chunks + chunk) * size + i];
      sum += part;
    }
    dw[i] = sum;
  }
}

template <typename Engines, int kVector>
void backward_weights_in_vectors(const float* x, const float* dy, float* dw, const Conv2dShape& d,
                                 Stream stream) {
  using Engine = typename Engines::template For<kVector>;
  constexpr int kThreads = 128;
  const int64_t taps = d.r * d.s * d.c;
  const int64_t size = d.k * taps;
  const int64_t shards = blocks_for(d.n, kConv2dShardImages);
  const int64_t shard_terms = kConv2dShardImages * d.out_h() * d.out_w();
  checked_size(shard_terms, "conv2d");
  // The number of images must not change how a shard is summed: only the other sizes choose its chunks.
  const int64_t blocks = blocks_for(d.k, Engine::kRows) * blocks_for(taps, Engine::kColumns);
  const int64_t terms_per_chunk = split_terms(blocks, shard_terms, size, Engine::kTerms);
  const int64_t chunks = blocks_for(shard_terms, terms_per_chunk);
  const int64_t shard_bytes = chunks * size * static_cast<int64_t>(sizeof(float));
  const int64_t together =  // shards in a launch
      std::min({shards, kMostShardsPerLaunch, at_least_one(kMostSplitBytes / shard_bytes)});
  const DeviceArray<float> partial(together * chunks * size);
  ShardsProblem<kVector> problem{
      {dy, as_int(d.k), as_int(d.k), as_int(d.n * d.out_h() * d.out_w())},
      patches_of<false, kVector>(x, d.n, d.h, d.w, d.c, d.out_h(), d.out_w(), d.r, d.s, d.stride, d.padding,
                                 d.padding),
      {partial.data(), taps, as_int(d.k), as_int(taps), is_vectorised(partial.data(), taps, taps)},
      0,
      as_int(chunks),
      as_int(terms_per_chunk),
      as_int(shard_terms),
      kConv2dShardImages * d.h * d.w * d.c};
  for (int64_t first = 0; first < shards; first += together) {
    const int64_t count = std::min(together, shards - first);
    problem.first_shard = as_int(first);
    launch_tiles<Engine>(problem, d.k, taps, count * chunks,
                         Stages<Engine, MatrixOperand<false, kVector>, Patches<false, kVector>>::kBytes,
                         stream);
    launch<add_shards<kThreads>>(blocks_for(size, kThreads), kThreads, 0, stream, partial.data(), size,
                                 as_int(count), as_int(chunks), first == 0, dw);
  }
}

template <typename Engines>
void backward_weights_with(const float* x, const float* dy, float* dw, const Conv2dShape& d, Stream stream) {
  check_conv2d_shape(d);
  check_conv2d_sizes(d);
  if (d.k * d.r * d.s * d.c == 0) return;
  if (d.n == 0) {
    launch<add_shards<128>>(blocks_for(d.k * d.r * d.s * d.c, 128), 128, 0, stream, nullptr,
                            d.k * d.r * d.s * d.c, 0, 0, true, dw);
  } else if (is_vectorised(dy, d.k, d.k) && is_vectorised(x, d.c, d.c)) {
    backward_weights_in_vectors<Engines, 4>(x, dy, dw, d, stream);
  } else {
    backward_weights_in_vectors<Engines, 1>(x, dy, dw, d, stream);
  }
}

}  // namespace mt::MT_BACKEND
