#pragma once
// The tiled kernels of SupCon, over either kind of product. Included by supcon_fp32.cu and supcon_tf32x3.cu.

#include <algorithm>

#include "kernels/common/device_array.cuh"
#include "kernels/common/vectors.cuh"
#include "kernels/supcon/supcon_device.cuh"

namespace mt::MT_BACKEND {
namespace {

// A block owns 64 rows i and goes through tiles of 64 columns j, in order. 256 threads; thread (y, x) of 16 ×
// 16 handles rows 4y … 4y+3 and, in a tile of similarities, columns x, x+16, x+32, x+48: neighbours in x
// are in one half of a warp, and each thread's columns are the same for any position of a row in its tile, so
// that a row's bits do not depend on the shard. Nothing of size rows × rows is ever stored.

constexpr int kTile = 64;          // rows, columns, and neighbouring elements of z in a chunk of dz
constexpr int kTileThreads = 256;  // 16 × 16
constexpr int kDepth = 32;         // elements of z in a step of the similarities
// Rows of shared tiles are 4 floats longer: 8 threads that read 16 bytes of 8 rows meet 32 different banks.
constexpr int kDepthStride = kDepth + 4;
constexpr int kTileStride = kTile + 4;
constexpr int kOperands = 2 * kTile * kDepthStride;  // floats; holds a chunk (kTile, kTileStride) too
constexpr int kSquare = kTile * kTileStride;
static_assert(kOperands >= kSquare);
// A Product has kStages, buffers of operands: with two of them, one is filled by asynchronous copies while
// the other is multiplied. And kChunksOfTwoBlocks: up to so many chunks of dz, a block's registers leave room
// for a second block.
// Blocks of rows times splits of the columns, where there are columns enough: two for each of an H100's 132
// multiprocessors. Scratch memory holds at most kWantedBlocks · kTile rows.
constexpr int64_t kWantedBlocks = 264;

struct SupConTask {
  explicit SupConTask(const SupConBatch<float>& b)
      : z(b.z),
        width(b.width),
        rules(b),
        inverse_temperature(static_cast<float>(1 / b.temperature)),
        vectors(b.width % 4 == 0 && aligned_to_vectors(b.z)) {
    // Few rows alone would leave most of a GPU idle. The split depends on the batch, never on the shard.
    const int64_t tiles = blocks_for(b.rows, kTile);
    const int64_t wanted = std::clamp<int64_t>(kWantedBlocks / tiles, 1, tiles);
    tiles_per_split = blocks_for(tiles, wanted);
    splits = blocks_for(tiles, tiles_per_split);
  }
  const float* z;  // (rows, width)
  int64_t width;
  SupConRules rules;
  float inverse_temperature;
  bool vectors;
  int64_t tiles_per_split;
  int64_t splits;
};

struct Place {
  int y;
  int x;
};
__device__ Place place_of_thread() {
  return {static_cast<int>(threadIdx.x / 16), static_cast<int>(threadIdx.x % 16)};
}

/// tile (kTile, kStride) = z[first … first + kTile, d0 … d0 + kColumns), zeros beyond z.
template <int kColumns, int kStride>
__device__ void load_tile(const SupConTask& task, int64_t first, int64_t d0, float* tile) {
  constexpr int kVectors = kColumns / 4;  // of a row
#pragma unroll
  for (int k = 0; k < kTile * kVectors / kTileThreads; ++k) {
    const int v = k * kTileThreads + static_cast<int>(threadIdx.x);
    const int64_t row = first + v / kVectors;
    const int d = v % kVectors * 4;
    const int64_t width = row < task.rules.rows ? task.width : 0;
    const float4 four = load_four(task.z + row * task.width, d0 + d, width, task.vectors);
    simt::store_shared_vector(tile + v / kVectors * kStride + d, four);
  }
}

/// The same by asynchronous copies where z allows; the caller commits them.
template <int kColumns, int kStride>
__device__ void start_tile(const SupConTask& task, int64_t first, int64_t d0, float* tile) {
  if (!task.vectors) {
    load_tile<kColumns, kStride>(task, first, d0, tile);
  } else {
    constexpr int kVectors = kColumns / 4;  // of a row
#pragma unroll
    for (int k = 0; k < kTile * kVectors / kTileThreads; ++k) {
      const int v = k * kTileThreads + static_cast<int>(threadIdx.x);
      const int64_t row = first + v / kVectors;
      const int64_t d = d0 + v % kVectors * 4;
      const bool is_there = row < task.rules.rows && d < task.width;
      simt::copy_async<16>(tile + v / kVectors * kStride + v % kVectors * 4,
                           is_there ? task.z + row * task.width + d : task.z, is_there);
    }
  }
}

/// Products z_i · z_j of rows i0 … and columns j0 … into square (kTile, kTileStride). operands: (kStages,
/// kOperands). All threads must come here; each may read its own elements, rows 4y + n and columns x + 16m,
/// at once.
template <typename Product>
__device__ void similarities(const SupConTask& task, int64_t i0, int64_t j0, float* operands, float* square) {
  constexpr int kOfColumns = kTile * kDepthStride;
  typename Product::Similarities products;
  products.clear();
  simt::sync_threads();  // the last tile's readers are done
  if constexpr (Product::kStages == 1) {
    for (int64_t d0 = 0; d0 < task.width; d0 += kDepth) {
      load_tile<kDepth, kDepthStride>(task, i0, d0, operands);
      load_tile<kDepth, kDepthStride>(task, j0, d0, operands + kOfColumns);
      simt::sync_threads();
      products.add(operands, operands + kOfColumns);
      simt::sync_threads();
    }
  } else {
    const auto start_step = [&](int64_t d0, float* both) {
      start_tile<kDepth, kDepthStride>(task, i0, d0, both);
      start_tile<kDepth, kDepthStride>(task, j0, d0, both + kOfColumns);
    };
    start_step(0, operands);
    simt::commit_async();
    int stage = 0;
    for (int64_t d0 = 0; d0 < task.width; d0 += kDepth) {
      if (d0 + kDepth < task.width) start_step(d0 + kDepth, operands + (1 - stage) * kOperands);
      simt::commit_async();  // of nothing after the last step: this step's copies are the second newest
      simt::wait_async<1>();
      simt::sync_threads();
      const float* const of_rows = operands + stage * kOperands;
      products.add(of_rows, of_rows + kOfColumns);
      simt::sync_threads();
      stage = 1 - stage;
    }
  }
  products.write(square);
}

/// Adds four columns' similarities s to an anchor's statistics.
__device__ void add_similarities(const SupConRules& rules, const SupConRow& i, const SupConRow (&j)[4],
                                 const float (&s)[4], SupConState& state) {
  float largest = state.contrast.largest;
#pragma unroll
  for (int m = 0; m < 4; ++m) largest = in_contrast(i, j[m]) ? fmaxf(largest, s[m]) : largest;
  if (largest > state.contrast.largest) state.contrast.sum *= exp_below(state.contrast.largest, largest);
  state.contrast.largest = largest;
#pragma unroll
  for (int m = 0; m < 4; ++m) {
    if (in_contrast(i, j[m])) state.contrast.sum += expf(s[m] - largest);
    if (is_positive(rules, i, j[m])) {
      state.positive_sum += s[m];
      ++state.positive_count;
    }
  }
}

/// Of 16 neighbouring lanes, as a fixed tree; lane 0's is the result.
__device__ SupConState merged_over_columns(SupConState state) {
  for (unsigned lanes = 8; lanes > 0; lanes /= 2) {
    state = merged(state, SupConState{shuffle_xor(state.contrast, lanes),
                                      simt::shuffle_xor(simt::kFullMask, state.positive_sum, lanes),
                                      simt::shuffle_xor(simt::kFullMask, state.positive_count, lanes)});
  }
  return state;
}

/// Rows [begin, end), one block for each 64 of them and each split of the columns. parts: (splits, end −
/// begin).
template <typename Product>
__global__ void __launch_bounds__(kTileThreads, 2)
    supcon_statistics(SupConTask task, int64_t begin, int64_t end, SupConState* parts) {
  DYN_SHARED(float, shared);
  float* const square = shared + Product::kStages * kOperands;
  const Place at = place_of_thread();
  const int64_t i0 = begin + static_cast<int64_t>(blockIdx.x) * kTile;
  SupConRow i[4];
  SupConState state[4];
#pragma unroll
  for (int n = 0; n < 4; ++n) i[n] = supcon_row(task.rules, i0 + 4 * at.y + n);
  const int64_t first_tile = static_cast<int64_t>(blockIdx.y) * task.tiles_per_split;
  for (int64_t t = 0; t < task.tiles_per_split; ++t) {
    const int64_t j0 = (first_tile + t) * kTile;
    similarities<Product>(task, i0, j0, shared, square);
    SupConRow j[4];
#pragma unroll
    for (int m = 0; m < 4; ++m) j[m] = supcon_row(task.rules, j0 + at.x + 16 * m);
#pragma unroll
    for (int n = 0; n < 4; ++n) {
      float s[4];
#pragma unroll
      for (int m = 0; m < 4; ++m) {
        s[m] = square[(4 * at.y + n) * kTileStride + at.x + 16 * m] * task.inverse_temperature;
      }
      if (i[n].row < end) add_similarities(task.rules, i[n], j, s, state[n]);
    }
  }
#pragma unroll
  for (int n = 0; n < 4; ++n) {
    const SupConState all = merged_over_columns(state[n]);
    if (at.x == 0 && i[n].row < end) {
      simt::store_vector(parts + static_cast<int64_t>(blockIdx.y) * (end - begin) + i[n].row - begin, all);
    }
  }
}

/// Merges the splits in their order; one thread per row. lse and so on: (anchors).
__global__ void supcon_merge_statistics(const SupConState* parts, SupConRules rules, int64_t splits,
                                        int64_t begin, int64_t end, float* lse, float* positive_sum,
                                        int32_t* positive_count) {
  const int64_t row = begin + static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (row < end) {
    SupConState state = supcon_start(rules);
    for (int64_t k = 0; k < splits; ++k) state = merged(state, parts[k * (end - begin) + row - begin]);
    lse[row] = log_sum_exp(state.contrast);
    positive_sum[row] = state.positive_sum;
    positive_count[row] = state.positive_count;
  }
}

/// Rows [begin, end) of dz in one symmetric pass: similarities again, g_ij + g_ji of a tile into shared
/// memory, and its product with the columns' z. blockIdx: 64 rows, kChunks · 64 elements of z, split of the
/// columns. out: (splits, end − begin, width), each split's sum over its columns; with one split, dz itself,
/// times `scale`.
template <typename Product, int kChunks>
__global__ void __launch_bounds__(kTileThreads, kChunks <= Product::kChunksOfTwoBlocks ? 2 : 1)
    supcon_gradient(SupConTask task, int64_t begin, int64_t end, const SupConTerm* terms, float scale,
                    float* out) {
  DYN_SHARED(float, shared);
  float* const square = shared + Product::kStages * kOperands;  // g (kTile, kTileStride)
  const Place at = place_of_thread();
  const int64_t i0 = begin + static_cast<int64_t>(blockIdx.x) * kTile;
  const int64_t first_d = static_cast<int64_t>(blockIdx.y) * (kChunks * kTile);
  const SupConTerm nothing{0, 0, 0, 0};
  typename Product::template Gradient<kChunks> sums;
  sums.clear();
  const int64_t first_tile = static_cast<int64_t>(blockIdx.z) * task.tiles_per_split;
  for (int64_t t = 0; t < task.tiles_per_split; ++t) {
    const int64_t j0 = (first_tile + t) * kTile;
    similarities<Product>(task, i0, j0, shared, square);
    if constexpr (Product::kStages == 2) {  // while g is computed
      start_tile<kTile, kTileStride>(task, j0, first_d, shared);
      simt::commit_async();
    }
#pragma unroll 1  // registers are for the sums
    for (int m = 0; m < 4; ++m) {
      const SupConRow j = supcon_row(task.rules, j0 + at.x + 16 * m);
      const SupConTerm of_j = j.row < task.rules.rows ? terms[j.row] : nothing;
#pragma unroll 1
      for (int n = 0; n < 4; ++n) {
        const SupConRow i = supcon_row(task.rules, i0 + 4 * at.y + n);
        float& element = square[(4 * at.y + n) * kTileStride + at.x + 16 * m];
        const float s = element * task.inverse_temperature;
        const bool is_pair = i.row < end && j.row < task.rules.rows && i.row != j.row;
        element = is_pair ? supcon_coefficient(task.rules, i, terms[i.row], j, of_j, s) : 0.0F;
      }
    }
#pragma unroll
    for (int c = 0; c < kChunks; ++c) {
      float* const chunk = shared + c % Product::kStages * kOperands;  // (kTile, kTileStride)
      if constexpr (Product::kStages == 1) {
        load_tile<kTile, kTileStride>(task, j0, first_d + c * kTile, chunk);
      } else {
        if (c + 1 < kChunks) {
          start_tile<kTile, kTileStride>(task, j0, first_d + (c + 1) * kTile,
                                         shared + (c + 1) % Product::kStages * kOperands);
        }
        simt::commit_async();
        simt::wait_async<1>();
      }
      simt::sync_threads();  // g and the chunk are there
      sums.add(c, square, chunk);
      if (c + 1 < kChunks) simt::sync_threads();
    }
  }
  float* const rows = out + static_cast<int64_t>(blockIdx.z) * (end - begin) * task.width;
#pragma unroll
  for (int c = 0; c < kChunks; ++c) {
    float sum[4][4];  // rows 4y + n, elements 4x + m of the chunk
    sums.read(c, square, sum);
#pragma unroll
    for (int n = 0; n < 4; ++n) {
      const int64_t row = i0 + 4 * at.y + n;
      const int64_t width = row < end ? task.width : 0;
      store_four(rows + (row - begin) * task.width, first_d + c * kTile + 4 * at.x, width, task.vectors,
                 {sum[n][0] * scale, sum[n][1] * scale, sum[n][2] * scale, sum[n][3] * scale});
    }
  }
}

/// dz = scale · the splits' sums, added in their order; n elements each.
__global__ void supcon_merge_gradient(const float* parts, int64_t splits, int64_t n, float scale, float* dz) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < n) {
    float sum = parts[i];
    for (int64_t k = 1; k < splits; ++k) sum += parts[k * n + i];
    dz[i] = sum * scale;
  }
}

// ---- Host

template <typename Product>
constexpr int64_t kTileBytes = (Product::kStages * kOperands + kSquare) * static_cast<int64_t>(sizeof(float));

template <typename Product>
void tiled_statistics(const SupConBatch<float>& b, float* lse, float* positive_sum, int32_t* positive_count,
                      Stream stream) {
  const SupConTask task(b);
  const int64_t begin = b.shard_begin;
  const int64_t end = b.anchors_end();
  const DeviceArray<SupConState> parts(task.splits * (end - begin));
  launch<supcon_statistics<Product>>({blocks_for(end - begin, kTile), task.splits}, kTileThreads,
                                     kTileBytes<Product>, stream, task, begin, end, parts.data());
  launch<supcon_merge_statistics>(blocks_for(end - begin, kTileThreads), kTileThreads, 0, stream,
                                  static_cast<const SupConState*>(parts.data()), task.rules, task.splits,
                                  begin, end, lse, positive_sum, positive_count);
}

template <typename Product>
void tiled_gradient(const SupConBatch<float>& b, const SupConTerm* terms, float* dz, Stream stream) {
  const SupConTask task(b);
  const int64_t begin = b.shard_begin;
  const int64_t values = (b.end() - begin) * b.width;
  float* const rows = dz + begin * b.width;
  const bool whole = task.splits == 1;
  const DeviceArray<float> parts(whole ? 0 : task.splits * values);
  const auto run = [&]<int kChunks>() {
    launch<supcon_gradient<Product, kChunks>>(
        {blocks_for(b.end() - begin, kTile), blocks_for(b.width, kChunks * kTile), task.splits}, kTileThreads,
        kTileBytes<Product>, stream, task, begin, b.end(), terms, whole ? task.inverse_temperature : 1.0F,
        whole ? rows : parts.data());
  };
  if (b.width <= kTile) {
    run.template operator()<1>();
  } else if (b.width <= 2 * kTile) {
    run.template operator()<2>();
  } else {  // wider rows: similarities again for each 256 elements
    run.template operator()<4>();
  }
  if (!whole) {
    launch<supcon_merge_gradient>(blocks_for(values, kTileThreads), kTileThreads, 0, stream,
                                  static_cast<const float*>(parts.data()), task.splits, values,
                                  task.inverse_temperature, rows);
  }
}

}  // namespace
}  // namespace mt::MT_BACKEND
