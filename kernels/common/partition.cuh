#pragma once
// Stable partition of rows by classes of their scores: mark and count, scan, write. The scores are read once:
// the first pass leaves a bit for each row and class, and the second goes by those. Included by .cu files
// only.

#include <algorithm>
#include <cstdint>

#include "kernels/common/device_array.cuh"
#include "kernels/common/scan.cuh"
#include "kernels/common/scores.cuh"
#include "kernels/common/warp.cuh"
#include "kernels/device/kernel.h"

namespace mt::MT_BACKEND {

// A Rule has kClasses (1 or 2) and `int class_of(float score) const`: 0 … kClasses - 1, or kClasses for rows
// to leave out. A Writer has `void write(int64_t place, int64_t row) const`. Places go through the rows of
// class 0 in ascending order, then through those of class 1. The blocks of both passes own the same chunks of
// rows; no block waits for another, and only integers are added.

inline constexpr int kPartitionThreads = 256;
inline constexpr int64_t kPartitionStep = 4 * kPartitionThreads;  // rows that a block handles at a time
inline constexpr int64_t kMostPartitionBlocks = 1024;
inline constexpr int64_t kStepWords = kPartitionStep / 32;  // of marks
static_assert(kStepWords == 32, "a warp's lanes hold a step's words");

/// The word of 32 rows of which this lane and its seven neighbours have four each: bit 4 · (lane % 8) + k is
/// the lane's row k. The same for the eight of them.
__device__ inline uint32_t word_of_marks(uint32_t four) {
  uint32_t word = four << (simt::lane() % 8 * 4);
#pragma unroll
  for (unsigned lanes = 1; lanes < 8; lanes *= 2) word |= simt::shuffle_xor(simt::kFullMask, word, lanes);
  return word;
}

/// marks: (kClasses, words), bit i % 32 of word i / 32: whether row i is of the class. counts: (kClasses,
/// gridDim.x)
template <typename Rule>
__global__ void partition_count(MaskedScores scores, Rule rule, int64_t chunk, int64_t words, uint32_t* marks,
                                Count* counts, Count* first_nan) {
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * chunk;
  const int64_t end = begin + chunk < scores.n ? begin + chunk : scores.n;
  Count mine[Rule::kClasses] = {};
  for (int64_t step = begin; step < end; step += kPartitionStep) {  // the same for all threads
    const int64_t i = step + 4 * threadIdx.x;
    const FourScores four = load_four_scores(scores, i);
    note_nan(four, i, first_nan);
#pragma unroll
    for (int c = 0; c < Rule::kClasses; ++c) {
      uint32_t marked = 0;
#pragma unroll
      for (int k = 0; k < 4; ++k)
        marked |= four.takes_part[k] && rule.class_of(four.value[k]) == c ? 1U << k : 0;
      mine[c] += static_cast<Count>(simt::popcount(marked));
      const uint32_t word = word_of_marks(marked);
      if (simt::lane() % 8 == 0) marks[c * words + i / 32] = word;
    }
  }
#pragma unroll
  for (int c = 0; c < Rule::kClasses; ++c) {
    const Count all = block_sum<kPartitionThreads>(mine[c]);
    if (threadIdx.x == 0) counts[c * gridDim.x + blockIdx.x] = all;
  }
}

namespace {  // a copy for each file that includes this

/// Replaces each of the counts (entries) by the sum of those before it; *total is the sum of all. One block.
__global__ void partition_scan(Count* counts, int64_t entries, Count* total) {
  constexpr int64_t kPerThread = 2 * kMostPartitionBlocks / kPartitionThreads;  // entries <= all threads'
  const int64_t first = threadIdx.x * kPerThread;
  Count mine = 0;
  for (int64_t i = first; i < first + kPerThread && i < entries; ++i) mine += counts[i];
  const RunningSum<Count> sum = block_exclusive_sum<kPartitionThreads>(mine);
  Count before = sum.before;
  for (int64_t i = first; i < first + kPerThread && i < entries; ++i) {
    const Count own = counts[i];
    counts[i] = before;
    before += own;
  }
  if (threadIdx.x == 0) *total = sum.all;
}

}  // namespace

/// starts: (kClasses, gridDim.x), of partition_scan. A warp takes four of a step's 32 words of marks, a lane
/// one row of each, so that neighbouring lanes write neighbouring places.
template <int kClasses, typename Writer>
__global__ void partition_write(const uint32_t* marks, int64_t rows, Writer writer, int64_t chunk,
                                int64_t words, const Count* starts) {
  constexpr int kWordsOfWarp = static_cast<int>(kStepWords) / (kPartitionThreads / 32);
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * chunk;
  const int64_t end = begin + chunk < rows ? begin + chunk : rows;
  for (int c = 0; c < kClasses; ++c) {
    Count start = starts[c * gridDim.x + blockIdx.x];
    for (int64_t step = begin; step < end; step += kPartitionStep) {  // the same for all threads
      const uint32_t word = marks[c * words + step / 32 + simt::lane()];
      const unsigned own = static_cast<unsigned>(simt::popcount(word));
      const unsigned upto = warp_inclusive_sum(own);
#pragma unroll
      for (int k = 0; k < kWordsOfWarp; ++k) {
        const unsigned w = kWordsOfWarp * simt::warp() + static_cast<unsigned>(k);
        const uint32_t bits = simt::shuffle(simt::kFullMask, word, w);
        const unsigned before = simt::shuffle(simt::kFullMask, upto - own, w);
        if ((bits >> simt::lane() & 1U) != 0) {
          const auto below = static_cast<unsigned>(simt::popcount(bits & simt::lanes_below()));
          writer.write(static_cast<int64_t>(start + before + below), step + 32 * w + simt::lane());
        }
      }
      start += simt::shuffle(simt::kFullMask, upto, 31);
    }
  }
}

/// How the rows are shared out, and the scratch memory of a partition with kClasses.
template <int kClasses>
struct Partition {
  explicit Partition(int64_t n)
      : chunk(chunk_of(n)),
        blocks(blocks_for(n, chunk)),
        words(blocks_for(n, kPartitionStep) * kStepWords),
        marks(kClasses * words),
        starts(kClasses * blocks) {}

  /// The first pass: fills marks and starts, *total, and lowers *first_nan. n >= 1.
  template <typename Rule>
  void find_places(const MaskedScores& scores, const Rule& rule, Count* total, Count* first_nan,
                   Stream stream) const {
    static_assert(Rule::kClasses == kClasses);
    launch<partition_count<Rule>>(blocks, kPartitionThreads, 0, stream, scores, rule, chunk, words,
                                  marks.data(), starts.data(), first_nan);
    launch<partition_scan>(1, kPartitionThreads, 0, stream, starts.data(), kClasses * blocks, total);
  }

  /// The second pass, over `rows` rows.
  template <typename Writer>
  void write(int64_t rows, const Writer& writer, Stream stream) const {
    launch<partition_write<kClasses, Writer>>(blocks, kPartitionThreads, 0, stream,
                                              static_cast<const uint32_t*>(marks.data()), rows, writer, chunk,
                                              words, static_cast<const Count*>(starts.data()));
  }

 private:
  static int64_t chunk_of(int64_t n) {
    const int64_t most = std::min(blocks_for(n, kPartitionStep), kMostPartitionBlocks);
    return most == 0 ? kPartitionStep : blocks_for(blocks_for(n, most), kPartitionStep) * kPartitionStep;
  }
  int64_t chunk;
  int64_t blocks;
  int64_t words;  // of marks, for each class: whole steps
  DeviceArray<uint32_t> marks;
  DeviceArray<Count> starts;
};

}  // namespace mt::MT_BACKEND
