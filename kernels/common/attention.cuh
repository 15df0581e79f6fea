#pragma once
// Attention pooling over the instances of a bag on cuda and simt: what dsmil and gated_attention share. The
// bag is split into tiles of 128 instances; each tile gives its part of a maximum and a sum, and all parts
// are merged in one fixed order. Included by .cu files only.

#include <cstdint>
#include <string>

#include "kernels/common/device_array.cuh"
#include "kernels/common/log_sum_exp.cuh"
#include "kernels/common/report.cuh"
#include "kernels/common/vectors.cuh"
#include "kernels/device/kernel.h"

namespace mt::MT_BACKEND {
namespace {

constexpr int kAttentionThreads = 128;
constexpr int kAttentionWarps = kAttentionThreads / 32;
constexpr int kTileRows = kAttentionThreads;  // instances of a tile: one per thread, 32 per warp

// ---- Loads of one or four neighbouring floats

template <int kVector>
__device__ inline void load_floats(const float* from, float (&value)[kVector]) {
  static_assert(kVector == 1 || kVector == 4);
  if constexpr (kVector == 4) {
    const float4 v = simt::load_vector<float4>(from);
    value[0] = v.x;
    value[1] = v.y;
    value[2] = v.z;
    value[3] = v.w;
  } else {
    value[0] = *from;
  }
}

/// Neighbouring floats that shared memory keeps aligned for one access.
template <int kVector>
struct alignas(kVector * sizeof(float)) Floats {
  float value[kVector];
};

template <int kVector>
__device__ inline void store_floats(float* to, const float (&value)[kVector]) {
  if constexpr (kVector == 4) {
    simt::store_vector(to, float4{value[0], value[1], value[2], value[3]});
  } else {
    *to = value[0];
  }
}
template <int kVector>
__device__ inline void store_shared_floats(Floats<kVector>& to, const float (&value)[kVector]) {
  if constexpr (kVector == 4) {
    simt::store_shared_vector(to.value, float4{value[0], value[1], value[2], value[3]});
  } else {
    to.value[0] = value[0];
  }
}

/// Whether rows of `width` floats may be read four at a time from all of these pointers.
template <typename... Pointers>
bool rows_of_vectors(int64_t width, Pointers... pointers) {
  return width % 4 == 0 && aligned_to_vectors(pointers...);
}

// ---- Row times vector

constexpr int kRowsAtOnce = 4;

/// Four sums over the warp at the price of six shuffles instead of twenty: half of the lanes goes on with two
/// of them, a quarter with one. Lanes 0, 8, 16 and 24 get the totals of sum[0] to sum[3].
__device__ inline float warp_sum_of_four(const float (&sum)[kRowsAtOnce]) {
  const bool upper = (simt::lane() & 16) != 0;
  float kept[2];
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const float given = simt::shuffle_xor(simt::kFullMask, upper ? sum[i] : sum[i + 2], 16);
    kept[i] = (upper ? sum[i + 2] : sum[i]) + given;
  }
  const bool odd = (simt::lane() & 8) != 0;
  float total = (odd ? kept[1] : kept[0]) + simt::shuffle_xor(simt::kFullMask, odd ? kept[0] : kept[1], 8);
  for (unsigned bits = 4; bits > 0; bits /= 2) total += simt::shuffle_xor(simt::kFullMask, total, bits);
  return total;
}

/// value[r] = a sum over the warp for each of the tile's rows r < count; part_of_rows(r, end, sum) adds the
/// lane's part for rows [r, min(r + 4, end)). A warp takes 32 rows, four at a time, so that four loads are on
/// their way. Four lanes write: a barrier must stand before others read.
template <typename PartOfRows>
__device__ inline void sum_tile(int64_t count, float* value, const PartOfRows& part_of_rows) {
  // value: (kTileRows) in shared memory
  const int64_t first = simt::warp() * 32;
  const int64_t end = first + 32 < count ? first + 32 : count;
  for (int64_t r = first; r < end; r += kRowsAtOnce) {  // the same for all lanes
    float sum[kRowsAtOnce] = {};
    part_of_rows(r, end, sum);
    const float total = warp_sum_of_four(sum);
    const int64_t row = r + simt::lane() / 8;
    if (simt::lane() % 8 == 0 && row < end) value[row] = total;
  }
}

/// dots[r] = rows[begin + r] · vector for the tile's rows r < count.
template <int kVector>
__device__ inline void dot_tile(const float* rows, int64_t begin, int64_t count, int64_t width,
                                const float* vector, float* dots) {
  // rows: (N, width), vector: (width), dots: (kTileRows) in shared memory
  sum_tile(count, dots, [=](int64_t r, int64_t end, float(&sum)[kRowsAtOnce]) {
    for (int64_t c = simt::lane() * kVector; c < width; c += 32 * kVector) {
      float v[kVector];
      load_floats(vector + c, v);
#pragma unroll
      for (int i = 0; i < kRowsAtOnce; ++i) {
        if (r + i < end) {
          float x[kVector];
          load_floats(rows + (begin + r + i) * width + c, x);
#pragma unroll
          for (int k = 0; k < kVector; ++k) sum[i] += x[k] * v[k];
        }
      }
    }
  });
}

// ---- Softmax over instances: a part from each tile, merged by everyone who needs the whole

constexpr int64_t kNoRow = INT64_MAX;

/// A tile's part of one class's softmax. NaN is reported by its row.
struct SoftmaxPart : MaxAndSum {
  int64_t nan_row;  // the first with a NaN logit, or kNoRow
};

/// Each thread comes with its row's logit, or with row >= instances and any. Thread 0 writes the part.
__device__ inline void store_softmax_part(float logit, int64_t row, int64_t instances, SoftmaxPart* part) {
  const bool inside = row < instances;
  const float mine = inside ? logit : -INFINITY;
  const float largest = block_reduce<Larger, kAttentionThreads>(mine);
  const float sum = block_sum<kAttentionThreads>(exp_below(mine, largest));
  const int64_t nan_row = block_reduce<Smaller, kAttentionThreads>(inside && logit != logit ? row : kNoRow);
  if (threadIdx.x == 0) *part = {{largest, sum}, nan_row};
}

/// Rows that one block of the two kernels below turns: enough to pay for merging all parts again in each.
constexpr int64_t kNormaliseRows = 8 * kAttentionThreads;

/// attention[n,c] = exp(logits[n,c] − largest) / sum. Grid: (blocks of rows, C). Every block merges the parts
/// of its class in the same order; block 0 of a class reports its first NaN row, as no_nan_logit() reads it.
__global__ void attention_normalise(const float* logits, const SoftmaxPart* parts, float* attention,
                                    FailureWord no_nan, int64_t instances, int64_t classes, int64_t tiles) {
  // logits, attention: (N,C), parts: (tiles,C)
  const int64_t c = blockIdx.y;
  float largest = -INFINITY;
  int64_t nan_row = kNoRow;
  for (int64_t i = threadIdx.x; i < tiles; i += kAttentionThreads) {
    largest = fmaxf(largest, parts[i * classes + c].largest);
    nan_row = Smaller::merged(nan_row, parts[i * classes + c].nan_row);
  }
  largest = block_reduce<Larger, kAttentionThreads>(largest);
  nan_row = block_reduce<Smaller, kAttentionThreads>(nan_row);
  float sum = 0;
  for (int64_t i = threadIdx.x; i < tiles; i += kAttentionThreads)
    sum += parts[i * classes + c].sum * exp_below(parts[i * classes + c].largest, largest);
  sum = block_sum<kAttentionThreads>(sum);
  const int64_t begin = blockIdx.x * kNormaliseRows;
  const int64_t end = begin + kNormaliseRows < instances ? begin + kNormaliseRows : instances;
  for (int64_t n = begin + threadIdx.x; n < end; n += kAttentionThreads)
    attention[n * classes + c] = expf(logits[n * classes + c] - largest) / sum;
  if (blockIdx.x == 0 && threadIdx.x == 0 && nan_row != kNoRow) report(no_nan, c * instances + nan_row);
}

/// Fails for the first class that has a NaN logit, as on the cpu: kernels report class · instances + row.
QueuedCheck no_nan_logit(const char* operation, int64_t instances, Stream stream) {
  return {kDevice, stream, [=](int64_t index) {
            return std::string(operation) + ": the attention logit of instance " +
                   std::to_string(index % instances) + " is NaN";
          }};
}

// ---- Backward of the softmax

/// dweight[n,c] = values[n] · dpooled[c] + dattention[n,c], and each tile's part of its mean under the
/// attention. Grid: (tiles, C).
template <int kVector>
__global__ void attention_weight_gradient(const float* values, const float* dpooled, const float* dattention,
                                          const float* attention, float* dweight, float* mean_parts,
                                          int64_t instances, int64_t classes, int64_t width) {
  // values: (N,V), dpooled: (C,V), dattention: (N,C) or null, mean_parts: (tiles,C)
  SHARED(float, dots, kTileRows);
  const int64_t c = blockIdx.y;
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * kTileRows;
  const int64_t count = instances - begin;
  dot_tile<kVector>(values, begin, count, width, dpooled + c * width, dots);
  simt::sync_threads();
  float of_mean = 0;
  if (threadIdx.x < count) {
    const int64_t at = (begin + threadIdx.x) * classes + c;
    float d = dots[threadIdx.x];
    if (dattention != nullptr) d += dattention[at];
    dweight[at] = d;
    of_mean = attention[at] * d;
  }
  const float sum = block_sum<kAttentionThreads>(of_mean);
  if (threadIdx.x == 0) mean_parts[blockIdx.x * classes + c] = sum;
}

/// dlogits[n,c] = scale · attention[n,c] · (dweight[n,c] − mean of the class). Grid: (blocks of rows, C).
__global__ void attention_logit_gradient(const float* attention, const float* dweight,
                                         const float* mean_parts, float* dlogits, int64_t instances,
                                         int64_t classes, int64_t tiles, float scale) {
  const int64_t c = blockIdx.y;
  float mean = 0;
  for (int64_t i = threadIdx.x; i < tiles; i += kAttentionThreads) mean += mean_parts[i * classes + c];
  mean = block_sum<kAttentionThreads>(mean);
  const int64_t begin = blockIdx.x * kNormaliseRows;
  const int64_t end = begin + kNormaliseRows < instances ? begin + kNormaliseRows : instances;
  for (int64_t n = begin + threadIdx.x; n < end; n += kAttentionThreads) {
    const int64_t at = n * classes + c;
    dlogits[at] = scale * attention[at] * (dweight[at] - mean);
  }
}

// ---- Weighted sums of rows

/// parts[tile,c] = Σ over the tile's n of weights[n,c] rows[n]. Grid: (tiles, groups of 32·kVector columns,
/// groups of kClasses classes). A lane owns kVector columns, a warp every fourth row; each row is read once
/// for kClasses classes.
template <int kVector, int kClasses>
__global__ void pool_tile(const float* weights, const float* rows, float* parts, int64_t instances,
                          int64_t classes, int64_t width) {
  // weights: (N,C), rows: (N,W), parts: (tiles,C,W)
  constexpr int kColumns = 32 * kVector;
  SHARED(float, weight, kTileRows* kClasses);                           // (kTileRows, kClasses)
  SHARED(Floats<kVector>, warp_part, kAttentionWarps * kClasses * 32);  // (warps, kClasses, kColumns)
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * kTileRows;
  const int64_t count = instances - begin < kTileRows ? instances - begin : kTileRows;
  const int64_t class_begin = static_cast<int64_t>(blockIdx.z) * kClasses;
  for (int j = 0; j < kClasses; ++j) {
    weight[threadIdx.x * kClasses + j] = threadIdx.x < count && class_begin + j < classes
                                             ? weights[(begin + threadIdx.x) * classes + class_begin + j]
                                             : 0.0F;
  }
  simt::sync_threads();
  const int64_t column = static_cast<int64_t>(blockIdx.y) * kColumns + simt::lane() * kVector;
  float sum[kClasses][kVector] = {};
  if (column < width) {
#pragma unroll 4
    for (int64_t r = simt::warp(); r < count; r += kAttentionWarps) {
      float x[kVector];
      load_floats(rows + (begin + r) * width + column, x);
#pragma unroll
      for (int j = 0; j < kClasses; ++j) {
#pragma unroll
        for (int k = 0; k < kVector; ++k) sum[j][k] += weight[r * kClasses + j] * x[k];
      }
    }
  }
#pragma unroll
  for (int j = 0; j < kClasses; ++j)
    store_shared_floats(warp_part[(simt::warp() * kClasses + j) * 32 + simt::lane()], sum[j]);
  simt::sync_threads();
  for (int i = static_cast<int>(threadIdx.x); i < kClasses * kColumns; i += kAttentionThreads) {
    const int64_t c = class_begin + i / kColumns;
    const int64_t w = static_cast<int64_t>(blockIdx.y) * kColumns + i % kColumns;
    float total = 0;
    for (int part = 0; part < kAttentionWarps; ++part)
      total += warp_part[part * kClasses * 32 + i / kVector].value[i % kVector];
    if (c < classes && w < width) parts[(blockIdx.x * classes + c) * width + w] = total;
  }
}

/// out[i] = Σ over parts of parts[part,i]: 32 neighbours a block; each warp adds every fourth part, and the
/// warps are added in their order.
__global__ void sum_parts(const float* parts, float* out, int64_t count, int64_t size) {
  // parts: (count, size), out: (size)
  SHARED(float, warp_sum_of, kAttentionThreads);  // (warps, 32)
  const int64_t i = static_cast<int64_t>(blockIdx.x) * 32 + simt::lane();
  float sum = 0;
  if (i < size) {
#pragma unroll 4
    for (int64_t part = simt::warp(); part < count; part += kAttentionWarps) sum += parts[part * size + i];
  }
  warp_sum_of[threadIdx.x] = sum;
  simt::sync_threads();
  if (threadIdx.x < 32 && i < size) {
    float total = warp_sum_of[threadIdx.x];
    for (int w = 1; w < kAttentionWarps; ++w) total += warp_sum_of[w * 32 + threadIdx.x];
    out[i] = total;
  }
}

void sum_parts_in_order(const float* parts, float* out, int64_t count, int64_t size, Stream stream) {
  launch<sum_parts>(blocks_for(size, 32), kAttentionThreads, 0, stream, parts, out, count, size);
}

/// pooled[c] = Σ over n of weights[n,c] rows[n]. weights: (N,C), rows: (N,W), pooled: (C,W).
void pool_rows(const float* weights, const float* rows, float* pooled, int64_t instances, int64_t classes,
               int64_t width, Stream stream) {
  const int64_t tiles = blocks_for(instances, kTileRows);
  const DeviceArray<float> parts(tiles * classes * width);
  const auto run = [&]<int kVector, int kClasses>() {
    launch<pool_tile<kVector, kClasses>>(
        {tiles, blocks_for(width, 32 * kVector), blocks_for(classes, kClasses)}, kAttentionThreads, 0, stream,
        weights, rows, parts.data(), instances, classes, width);
  };
  const auto run_classes = [&]<int kVector>() {
    if (classes == 1)
      run.template operator()<kVector, 1>();
    else if (classes == 2)
      run.template operator()<kVector, 2>();
    else
      run.template operator()<kVector, 4>();
  };
  if (rows_of_vectors(width, rows))
    run_classes.template operator()<4>();
  else
    run_classes.template operator()<1>();
  sum_parts_in_order(parts.data(), pooled, tiles, classes * width, stream);
}

// ---- Outer product

/// out[n] = Σ over c of weights[n,c] · vectors[c], where vectors[c] is row chosen[c] of `vectors`, or row c.
/// Grid: (tiles, groups of 32·kVector columns).
template <int kVector>
__global__ void spread_tile(const float* weights, const float* vectors, const int64_t* chosen, float* out,
                            int64_t instances, int64_t classes, int64_t width) {
  // weights: (N,C), chosen: (C) or null, out: (N,W)
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * kTileRows;
  const int64_t end = begin + kTileRows < instances ? begin + kTileRows : instances;
  const int64_t column = (static_cast<int64_t>(blockIdx.y) * 32 + simt::lane()) * kVector;
  for (int64_t n = begin + simt::warp(); n < end && column < width; n += kAttentionWarps) {
    float sum[kVector] = {};
    for (int64_t c = 0; c < classes; ++c) {
      float v[kVector];
      load_floats(vectors + (chosen == nullptr ? c : chosen[c]) * width + column, v);
#pragma unroll
      for (int k = 0; k < kVector; ++k) sum[k] += weights[n * classes + c] * v[k];
    }
    store_floats(out + n * width + column, sum);
  }
}

void spread_rows(const float* weights, const float* vectors, const int64_t* chosen, float* out,
                 int64_t instances, int64_t classes, int64_t width, Stream stream) {
  const int64_t tiles = blocks_for(instances, kTileRows);
  if (rows_of_vectors(width, vectors, out)) {
    launch<spread_tile<4>>({tiles, blocks_for(width, 128)}, kAttentionThreads, 0, stream, weights, vectors,
                           chosen, out, instances, classes, width);
  } else {
    launch<spread_tile<1>>({tiles, blocks_for(width, 32)}, kAttentionThreads, 0, stream, weights, vectors,
                           chosen, out, instances, classes, width);
  }
}

/// dlogits (N,C) from upstream gradients: dpooled (C,V), dattention (N,C) or null; values: (N,V).
void backward_to_logits(const float* values, const float* dpooled, const float* dattention,
                        const float* attention, float* dlogits, int64_t instances, int64_t classes,
                        int64_t width, float scale, Stream stream) {
  const int64_t tiles = blocks_for(instances, kTileRows);
  const DeviceArray<float> dweight(instances * classes);
  const DeviceArray<float> mean_parts(tiles * classes);
  if (rows_of_vectors(width, values, dpooled)) {
    launch<attention_weight_gradient<4>>({tiles, classes}, kAttentionThreads, 0, stream, values, dpooled,
                                         dattention, attention, dweight.data(), mean_parts.data(), instances,
                                         classes, width);
  } else {
    launch<attention_weight_gradient<1>>({tiles, classes}, kAttentionThreads, 0, stream, values, dpooled,
                                         dattention, attention, dweight.data(), mean_parts.data(), instances,
                                         classes, width);
  }
  launch<attention_logit_gradient>({blocks_for(instances, kNormaliseRows), classes}, kAttentionThreads, 0,
                                   stream, attention, dweight.data(), mean_parts.data(), dlogits, instances,
                                   classes, tiles, scale);
}

}  // namespace
}  // namespace mt::MT_BACKEND
