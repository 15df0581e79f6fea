// Exact quantiles and top-K on cuda and simt. Method: select.md. First the naive version, then the fast one.

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string>
#include <vector>

#include "kernels/common/bitonic.cuh"
#include "kernels/common/partition.cuh"
#include "kernels/common/tables.h"
#include "kernels/select/rank_search.cuh"
#include "kernels/select/select.h"

namespace mt::MT_BACKEND {
namespace {

// ---- What both versions do on the host

float score_of(uint32_t key) {
  const uint32_t bits = (key >> 31) != 0 ? key & 0x7FFFFFFFU : ~key;
  float score;
  std::memcpy(&score, &bits, sizeof(score));
  return score;
}

void refuse_nan(Count first_nan) {
  if (first_nan != kNoRow) fail_kernel("select: the score of row " + std::to_string(first_nan) + " is NaN");
}

/// Fails for a quantile that is not defined.
void check_levels(Count count, const double* levels, int64_t level_count) {
  if (count < 1) fail_kernel("select: the quantile of no scores");
  for (int64_t l = 0; l < level_count; ++l) {
    if (levels[l] >= 0 && levels[l] <= 1) continue;
    char text[32];
    const auto end = std::to_chars(text, text + sizeof(text), levels[l]).ptr;
    fail_kernel("select: quantile level " + std::string(text, end) + " lies outside of [0, 1]");
  }
}

void check_top(int64_t n, int64_t k) {
  if (k < 0) fail_kernel("select: the top " + std::to_string(k) + " of " + std::to_string(n) + " scores");
}

/// Between the order statistics around level · (count − 1); an infinite one stays what it is.
double interpolate(double below, double above, double level, Count count) {
  const double position = level * static_cast<double>(count - 1);
  const double fraction = position - std::floor(position);
  return fraction > 0 && above != below && !std::isinf(below) ? below + fraction * (above - below) : below;
}

// ---- 1. Naive: a rank byte by byte, in a histogram in global memory; for the top, each row counts those
// before it

constexpr int kThreads = 128;

__device__ bool takes_part(const MaskedScores& scores, int64_t row) {
  return scores.mask == nullptr || scores.mask[row] != 0;
}

/// Counts the rows that take part, and finds the first NaN among them.
__global__ void select_count_naive(MaskedScores scores, Count* count, Count* first_nan) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (row < scores.n && takes_part(scores, row)) {
    simt::atomic_add(count, Count{1});
    if (scores.values[row] != scores.values[row]) simt::atomic_min(first_nan, static_cast<Count>(row));
  }
}

/// bins: (256), of the byte at bit `shift` among the keys whose higher bytes are `prefix`.
__global__ void select_byte_naive(MaskedScores scores, uint32_t prefix, int shift, Count* bins) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (row < scores.n && takes_part(scores, row)) {
    const uint64_t key = ordered_key(scores.values[row]);
    if (key >> (shift + 8) == prefix) simt::atomic_add(&bins[key >> shift & 0xFFU], Count{1});
  }
}

__global__ void select_top_naive(MaskedScores scores, int64_t k, int64_t* indices, float* values) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (row < scores.n && takes_part(scores, row)) {
    const float own = scores.values[row];
    int64_t place = 0;
    for (int64_t i = 0; i < scores.n && place < k; ++i) {
      const bool is_before = scores.values[i] > own || (scores.values[i] == own && i < row);
      place += takes_part(scores, i) && is_before ? 1 : 0;
    }
    if (place < k) {
      indices[place] = row;
      values[place] = own;
    }
  }
}

/// Rows that take part. Fails for a NaN among them.
Count count_naive(const MaskedScores& scores, Stream stream) {
  if (scores.n == 0) return 0;
  const DeviceArray<Count> results(std::vector<Count>{0, kNoRow}, stream);
  launch<select_count_naive>(blocks_for(scores.n, kThreads), kThreads, 0, stream, scores, results.data(),
                             results.data() + 1);
  refuse_nan(value_on_host(results.data() + 1, stream));
  return value_on_host(results.data(), stream);
}

float order_statistic_naive(const MaskedScores& scores, Count rank, Stream stream) {
  uint32_t key = 0;
  for (int shift = 24; shift >= 0; shift -= 8) {
    std::vector<Count> bins(256, 0);
    const DeviceArray<Count> device_bins(bins, stream);
    launch<select_byte_naive>(blocks_for(scores.n, kThreads), kThreads, 0, stream, scores, key, shift,
                              device_bins.data());
    copy_bytes(bins.data(), Device::cpu, device_bins.data(), kDevice, bins.size() * sizeof(Count), stream);
    uint32_t byte = 0;
    while (rank >= bins[byte]) rank -= bins[byte++];
    key = key << 8 | byte;
  }
  return score_of(key);
}

void quantiles_naive(const float* scores, const uint8_t* mask, int64_t n, const double* levels,
                     double* values, int64_t level_count, Stream stream) {
  const MaskedScores all(scores, mask, n);
  const Count count = count_naive(all, stream);
  check_levels(count, levels, level_count);
  for (int64_t l = 0; l < level_count; ++l) {
    const auto below = static_cast<Count>(std::floor(levels[l] * static_cast<double>(count - 1)));
    const float first = order_statistic_naive(all, below, stream);
    const float second = order_statistic_naive(all, std::min(below + 1, count - 1), stream);
    values[l] = interpolate(static_cast<double>(first), static_cast<double>(second), levels[l], count);
  }
}

int64_t top_k_naive(const float* scores, const uint8_t* mask, int64_t n, int64_t k, int64_t* indices,
                    float* values, Stream stream) {
  check_top(n, k);
  const MaskedScores all(scores, mask, n);
  const int64_t found = std::min(k, static_cast<int64_t>(count_naive(all, stream)));
  if (found == 0) return 0;
  launch<select_top_naive>(blocks_for(n, kThreads), kThreads, 0, stream, all, found, indices, values);
  return found;
}

// ---- 2. Fast quantiles: both order statistics of up to two levels share three reads of the scores

void quantiles(const float* scores, const uint8_t* mask, int64_t n, const double* levels, double* values,
               int64_t level_count, Stream stream) {
  constexpr int64_t kLevels = kRankGroup / 2;  // of a group
  RankSearch search({scores, mask, n}, stream);
  const int64_t groups = std::max<int64_t>(1, blocks_for(level_count, kLevels));  // one counts the scores
  const DeviceArray<FoundRank> device_found(groups * kRankGroup);
  for (int64_t g = 0; g < groups; ++g) {
    const int64_t first = g * kLevels;
    WantedRanks wanted;
    wanted.ranks = 2 * static_cast<int>(std::clamp<int64_t>(level_count - first, 1, kLevels));
    for (int64_t l = first; l < std::min(first + kLevels, level_count); ++l) {
      const bool is_level = levels[l] >= 0 && levels[l] <= 1;  // others are an error below
      wanted.level[l - first] = is_level ? levels[l] : 0;
    }
    search.find(wanted, device_found.data() + g * kRankGroup);
  }
  std::vector<FoundRank> found(static_cast<std::size_t>(groups * kRankGroup));
  copy_bytes(found.data(), Device::cpu, device_found.data(), kDevice, found.size() * sizeof(FoundRank),
             stream);
  refuse_nan(found[0].first_nan);
  check_levels(found[0].count, levels, level_count);
  for (int64_t l = 0; l < level_count; ++l) {
    const FoundRank* const of_level = found.data() + 2 * l;
    values[l] = interpolate(static_cast<double>(score_of(of_level[0].key)),
                            static_cast<double>(score_of(of_level[1].key)), levels[l], found[0].count);
  }
}

// ---- 3. Fast top-K: the K-th key, the rows from it on in their order, and a sort of those

/// Class 0: above the K-th key. Class 1: equal to it, the first of which are chosen.
struct FromKey {
  static constexpr int kClasses = 2;
  uint32_t last;
  __device__ int class_of(float score) const {
    const uint32_t key = ordered_key(score);
    return key > last ? 0 : key == last ? 1 : 2;
  }
};

/// Descending keys and, where they are equal, ascending places: rows are unique and in order.
struct ChosenWriter {
  const float* scores;  // (n)
  int64_t chosen;       // places beyond are not
  int64_t* rows;        // (chosen)
  uint64_t* order;      // (chosen)
  __device__ void write(int64_t place, int64_t row) const {
    if (place < chosen) {
      rows[place] = row;
      order[place] = static_cast<uint64_t>(~ordered_key(scores[row])) << 32 | static_cast<uint64_t>(place);
    }
  }
};

constexpr int kSortThreads = 128;
constexpr int64_t kSortedInBlock = 2048;

/// order: (size), filled up behind the first n with what sorts last.
__global__ void select_fill_order(uint64_t* order, int64_t n, int64_t size) {
  const int64_t i = n + static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < size) order[i] = ~uint64_t{0};
}

/// Each block sorts `length` neighbours (a power of two), as the bitonic network wants them.
__global__ void select_sort_blocks(uint64_t* order, int64_t length) {
  SHARED(uint64_t, keys, kSortedInBlock);
  const int64_t start = static_cast<int64_t>(blockIdx.x) * length;
  for (int64_t i = threadIdx.x; i < length; i += kSortThreads) keys[i] = order[start + i];
  sort_in_block<kSortThreads>(keys, length, start);
  for (int64_t i = threadIdx.x; i < length; i += kSortThreads) order[start + i] = keys[i];
}

/// One stage of the network whose partners lie too far apart for shared memory; pairs: half the size.
__global__ void select_sort_stage(uint64_t* order, int64_t pairs, int64_t distance, int64_t run) {
  const int64_t t = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (t < pairs) compare_exchange(order, t, distance, run, 0);
}

/// The last stages of a run, in shared memory.
__global__ void select_sort_tail(uint64_t* order, int64_t run) {
  SHARED(uint64_t, keys, kSortedInBlock);
  const int64_t start = static_cast<int64_t>(blockIdx.x) * kSortedInBlock;
  for (int64_t i = threadIdx.x; i < kSortedInBlock; i += kSortThreads) keys[i] = order[start + i];
  for (int64_t distance = kSortedInBlock / 2; distance > 0; distance /= 2) {
    simt::sync_threads();
    for (int64_t t = threadIdx.x; t < kSortedInBlock / 2; t += kSortThreads) {
      compare_exchange(keys, t, distance, run, start);
    }
  }
  simt::sync_threads();
  for (int64_t i = threadIdx.x; i < kSortedInBlock; i += kSortThreads) order[start + i] = keys[i];
}

void sort_order(uint64_t* order, int64_t size, Stream stream) {  // size: a power of two
  const int64_t in_block = std::min(size, kSortedInBlock);
  launch<select_sort_blocks>(size / in_block, kSortThreads, 0, stream, order, in_block);
  for (int64_t run = 2 * kSortedInBlock; run <= size; run *= 2) {
    for (int64_t distance = run / 2; distance >= kSortedInBlock; distance /= 2) {
      launch<select_sort_stage>(blocks_for(size / 2, kSortThreads), kSortThreads, 0, stream, order, size / 2,
                                distance, run);
    }
    launch<select_sort_tail>(size / kSortedInBlock, kSortThreads, 0, stream, order, run);
  }
}

/// indices, values: (chosen), in the order found.
__global__ void select_write_top(const float* scores, const int64_t* rows, const uint64_t* order,
                                 int64_t chosen, int64_t* indices, float* values) {
  const int64_t k = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (k < chosen) {
    const int64_t row = rows[order[k] & 0xFFFFFFFFU];
    indices[k] = row;
    values[k] = scores[row];
  }
}

int64_t top_k(const float* scores, const uint8_t* mask, int64_t n, int64_t k, int64_t* indices, float* values,
              Stream stream) {
  check_top(n, k);
  const MaskedScores all(scores, mask, n);
  const DeviceArray<FoundRank> device_found(1);
  WantedRanks wanted;
  wanted.ranks = 1;
  wanted.top = static_cast<Count>(std::max<int64_t>(k, 1));
  RankSearch(all, stream).find(wanted, device_found.data());
  const FoundRank found = value_on_host(device_found.data(), stream);
  refuse_nan(found.first_nan);
  const int64_t chosen = std::min(k, static_cast<int64_t>(found.count));
  if (chosen == 0) return 0;
  if (chosen >= int64_t{1} << 32) fail_kernel("select: a top-K of 2^32 scores or more");

  const Partition<FromKey::kClasses> partition(n);
  const int64_t size = power_of_two_from(chosen);
  const DeviceArray<Count> total_and_nan(std::vector<Count>{0, kNoRow}, stream);
  const DeviceArray<int64_t> rows(chosen);
  const DeviceArray<uint64_t> order(size);
  const FromKey rule{found.key};
  partition.find_places(all, rule, total_and_nan.data(), total_and_nan.data() + 1, stream);
  partition.write(n, ChosenWriter{scores, chosen, rows.data(), order.data()}, stream);
  if (size > chosen) {
    launch<select_fill_order>(blocks_for(size - chosen, kSortThreads), kSortThreads, 0, stream, order.data(),
                              chosen, size);
  }
  sort_order(order.data(), size, stream);
  launch<select_write_top>(blocks_for(chosen, kSortThreads), kSortThreads, 0, stream, scores,
                           static_cast<const int64_t*>(rows.data()),
                           static_cast<const uint64_t*>(order.data()), chosen, indices, values);
  return chosen;
}

constexpr Select<float> kFast{quantiles, top_k};
constexpr Select<float> kNaive{quantiles_naive, top_k_naive};

}  // namespace

void register_select() {
  register_table(kDevice, kFast);
  register_table(kDevice, kNaive, "naive");
}

}  // namespace mt::MT_BACKEND
