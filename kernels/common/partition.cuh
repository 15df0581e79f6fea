#pragma once
// Stable partition of rows by classes of their scores: count, scan, write. Included by .cu files only.

#include <algorithm>
#include <cstdint>

#include "kernels/common/device_array.cuh"
#include "kernels/common/scan.cuh"
#include "kernels/common/scores.cuh"
#include "kernels/common/warp.cuh"
#include "kernels/device/kernel.h"

namespace mt::MT_BACKEND {

// A Rule has kClasses (1 or 2) and `int class_of(float score) const`: 0 … kClasses - 1, or kClasses for rows
// to leave out. A Writer has `void write(int64_t place, int64_t row, float score) const`. Places go through
// the rows of class 0 in ascending order, then through those of class 1. The blocks of both passes own the
// same chunks of rows; no block waits for another, and only integers are added.

inline constexpr int kPartitionThreads = 256;
inline constexpr int64_t kPartitionStep = 4 * kPartitionThreads;  // rows that a block handles at a time
inline constexpr int64_t kMostPartitionBlocks = 1024;

/// counts: (kClasses, gridDim.x)
template <typename Rule>
__global__ void partition_count(MaskedScores scores, Rule rule, int64_t chunk, Count* counts,
                                Count* first_nan) {
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * chunk;
  const int64_t end = begin + chunk < scores.n ? begin + chunk : scores.n;
  Count mine[Rule::kClasses] = {};
  for (int64_t i = begin + 4 * threadIdx.x; i < end; i += kPartitionStep) {
    const FourScores four = load_four_scores(scores, i);
    note_nan(four, i, first_nan);
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      for (int c = 0; c < Rule::kClasses; ++c) {
        mine[c] += four.takes_part[k] && rule.class_of(four.value[k]) == c ? 1 : 0;
      }
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

/// starts: (kClasses, gridDim.x), of partition_scan.
template <typename Rule, typename Writer>
__global__ void partition_write(MaskedScores scores, Rule rule, Writer writer, int64_t chunk,
                                const Count* starts) {
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * chunk;
  const int64_t end = begin + chunk < scores.n ? begin + chunk : scores.n;
  Count start[Rule::kClasses];
#pragma unroll
  for (int c = 0; c < Rule::kClasses; ++c) start[c] = starts[c * gridDim.x + blockIdx.x];
  for (int64_t step = begin; step < end; step += kPartitionStep) {  // the same for all threads
    const int64_t i = step + 4 * threadIdx.x;
    const FourScores four = load_four_scores(scores, i);
    int row_class[4];
    unsigned mine = 0;  // how many of class 0, and from bit 16 on of class 1
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      row_class[k] = four.takes_part[k] ? rule.class_of(four.value[k]) : Rule::kClasses;
      if (row_class[k] < Rule::kClasses) mine += 1U << (16 * row_class[k]);
    }
    const RunningSum<unsigned> sum = block_exclusive_sum<kPartitionThreads>(mine);
#pragma unroll
    for (int c = 0; c < Rule::kClasses; ++c) {
      Count place = start[c] + (sum.before >> (16 * c) & 0xFFFFU);
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        if (row_class[k] == c) writer.write(static_cast<int64_t>(place++), i + k, four.value[k]);
      }
      start[c] += sum.all >> (16 * c) & 0xFFFFU;
    }
  }
}

/// What both passes share.
struct PartitionPlan {
  explicit PartitionPlan(int64_t n) {
    const int64_t most = std::min(blocks_for(n, kPartitionStep), kMostPartitionBlocks);
    chunk = most == 0 ? kPartitionStep : blocks_for(blocks_for(n, most), kPartitionStep) * kPartitionStep;
    blocks = blocks_for(n, chunk);
  }
  int64_t chunk;
  int64_t blocks;
};

/// The first pass: fills starts (kClasses, plan.blocks), *total, and lowers *first_nan. n >= 1.
template <typename Rule>
void partition_places(const MaskedScores& scores, const Rule& rule, const PartitionPlan& plan, Count* starts,
                      Count* total, Count* first_nan, Stream stream) {
  launch<partition_count<Rule>>(plan.blocks, kPartitionThreads, 0, stream, scores, rule, plan.chunk, starts,
                                first_nan);
  launch<partition_scan>(1, kPartitionThreads, 0, stream, starts, Rule::kClasses * plan.blocks, total);
}

/// The second pass.
template <typename Rule, typename Writer>
void partition_rows(const MaskedScores& scores, const Rule& rule, const Writer& writer,
                    const PartitionPlan& plan, const Count* starts, Stream stream) {
  launch<partition_write<Rule, Writer>>(plan.blocks, kPartitionThreads, 0, stream, scores, rule, writer,
                                        plan.chunk, starts);
}

}  // namespace mt::MT_BACKEND
