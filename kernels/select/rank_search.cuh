#pragma once
// Order statistics by radix select, without a word from the host between the passes. Included by select.cu.

#include <cstdint>

#include "kernels/common/device_array.cuh"
#include "kernels/common/ordered_key.cuh"
#include "kernels/common/scores.cuh"
#include "kernels/device/kernel.h"

namespace mt::MT_BACKEND {
namespace {

inline constexpr int kRankGroup = 4;  // ranks that share the passes: their histograms fit into shared memory
inline constexpr int kSearchThreads = 128;
inline constexpr int64_t kRowsPerBlock = 16 * kSearchThreads;  // at least
inline constexpr int64_t kMostSearchBlocks = 1024;
inline constexpr int64_t kClearedPerBlock = kDigitBins;

/// Which ranks (0 is the smallest) of the m scores that take part: for each level the two order statistics
/// around level · (m − 1), or the smallest one of the `top` largest scores.
struct WantedRanks {
  int ranks = 0;  // 2 · levels, or 1
  double level[kRankGroup / 2] = {};
  Count top = 0;  // 0: the levels count
  __device__ Count rank(int r, Count m) const {
    if (top > 0) return m - (top < m ? top : m);
    const Count below = static_cast<Count>(floor((r < 2 ? level[0] : level[1]) * static_cast<double>(m - 1)));
    return r % 2 == 0 || below + 1 == m ? below : below + 1;
  }
};

/// How far the search for a rank is; after the last digit, its result.
struct FoundRank {
  uint32_t key;     // its leading digits
  Count rank;       // among the keys with these digits
  Count equal;      // how many keys have these digits
  Count count;      // rows that take part
  Count first_nan;  // kNoRow, or the first of them that is NaN
};

/// Makes bins (n) ready, and first_nan where it is not null.
__global__ void select_clear(Count* bins, int64_t n, Count* first_nan) {
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kClearedPerBlock + threadIdx.x;
  for (int64_t i = first; i < n && i < first + kClearedPerBlock; i += kSearchThreads) bins[i] = 0;
  if (first == 0 && first_nan != nullptr) *first_nan = kNoRow;
}

/// Adds a block's shared histogram (n) to the global one.
__device__ void add_bins(const unsigned* shared_bins, int n, Count* bins) {
  for (int b = static_cast<int>(threadIdx.x); b < n; b += kSearchThreads) {
    if (shared_bins[b] != 0) simt::atomic_add(&bins[b], static_cast<Count>(shared_bins[b]));
  }
}

/// Histogram of the first digit of all keys; bins: (kDigitBins).
__global__ void select_first_digits(MaskedScores scores, Count* bins, Count* first_nan) {
  SHARED(unsigned, block_bins, kDigitBins);
  for (int b = static_cast<int>(threadIdx.x); b < kDigitBins; b += kSearchThreads) block_bins[b] = 0;
  simt::sync_threads();
  const int64_t stride = static_cast<int64_t>(gridDim.x) * (4 * kSearchThreads);
  for (int64_t i = 4 * (static_cast<int64_t>(blockIdx.x) * kSearchThreads + threadIdx.x); i < scores.n;
       i += stride) {
    const FourScores four = load_four_scores(scores, i);
    note_nan(four, i, first_nan);
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      if (four.takes_part[k]) simt::atomic_add(&block_bins[ordered_key(four.value[k]) >> digit_shift(0)], 1U);
    }
  }
  simt::sync_threads();
  add_bins(block_bins, kDigitBins, bins);
}

/// The first of the ranks whose leading digits equal those of rank r: they share its histogram.
__device__ int histogram_of(const FoundRank* found, int r) {
  int first = 0;
  while (found[first].key != found[r].key) ++first;
  return first;
}

/// What the second pass over the scores leaves for the third: the keys that share their first digit with a
/// rank. Each block has a region of its own, so that no counter is shared between blocks.
struct Candidates {
  uint32_t* keys;    // (blocks, room)
  unsigned* counts;  // (blocks): keys in the block's region, or kTooMany
  int64_t room;
};
inline constexpr unsigned kTooMany = ~0U;

/// The leading digits of each rank; a number beyond any for ranks that share another's histogram.
struct Prefixes {
  uint32_t of_rank[kRankGroup];
  __device__ Prefixes(const FoundRank* found, int ranks) {
#pragma unroll
    for (int r = 0; r < kRankGroup; ++r) {
      of_rank[r] = r < ranks && histogram_of(found, r) == r ? found[r].key : ~uint32_t{0};
    }
  }
};

/// Counts digit kDigit of a key in the histogram (kDigitBins) of each rank whose leading digits it has. Tells
/// whether there was one.
template <int kDigit>
__device__ bool count_digit(uint32_t key, const Prefixes& prefixes, unsigned* block_bins) {
  const uint32_t digit = (key >> digit_shift(kDigit)) & ((1U << digit_bits(kDigit)) - 1);
  bool counted = false;
#pragma unroll
  for (int r = 0; r < kRankGroup; ++r) {
    if (key >> digit_shift(kDigit - 1) == prefixes.of_rank[r]) {
      simt::atomic_add(&block_bins[r * kDigitBins + static_cast<int>(digit)], 1U);
      counted = true;
    }
  }
  return counted;
}

/// Writes the keys of a warp's threads that are `wanted` behind those that the block has kept; all 32 lanes
/// must come here. Beyond `room` keys are counted only.
__device__ inline void keep_keys(const uint32_t (&keys)[4], const bool (&wanted)[4], unsigned* kept,
                                 uint32_t* region, int64_t room) {
  unsigned lanes[4];
  unsigned all = 0;
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    lanes[k] = simt::ballot(simt::kFullMask, wanted[k]);
    all += static_cast<unsigned>(simt::popcount(lanes[k]));
  }
  unsigned place = 0;
  if (simt::lane() == 0 && all > 0) place = simt::atomic_add(kept, all);
  place = simt::shuffle(simt::kFullMask, place, 0);
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    const unsigned before = lanes[k] & ((1U << simt::lane()) - 1);
    const unsigned own = place + static_cast<unsigned>(simt::popcount(before));
    if (wanted[k] && own < room) region[own] = keys[k];
    place += static_cast<unsigned>(simt::popcount(lanes[k]));
  }
}

/// Histograms of the second digit among the keys with each rank's first one; found: (ranks), bins: (ranks,
/// kDigitBins). Keeps these keys, unless they are more than half of the scores: then writing and reading them
/// would move as many bytes as reading the scores again.
__global__ void select_second_digits(MaskedScores scores, const FoundRank* found, int ranks, Count* bins,
                                     Candidates candidates) {
  DYN_SHARED(unsigned, block_bins);  // (ranks, kDigitBins)
  SHARED(unsigned, kept, 1);
  for (int b = static_cast<int>(threadIdx.x); b < ranks * kDigitBins; b += kSearchThreads) block_bins[b] = 0;
  if (threadIdx.x == 0) kept[0] = 0;
  const Prefixes prefixes(found, ranks);
  Count all = 0;
  for (int r = 0; r < ranks; ++r) all += histogram_of(found, r) == r ? found[r].equal : 0;
  const bool keeps = 2 * all <= static_cast<Count>(scores.n);
  uint32_t* region = candidates.keys + static_cast<int64_t>(blockIdx.x) * candidates.room;
  simt::sync_threads();
  const int64_t stride = static_cast<int64_t>(gridDim.x) * (4 * kSearchThreads);
  // `start` is the same for all threads of the block: each warp stays together for its ballots.
  for (int64_t start = static_cast<int64_t>(blockIdx.x) * (4 * kSearchThreads); start < scores.n;
       start += stride) {
    const FourScores four = load_four_scores(scores, start + 4 * threadIdx.x);
    uint32_t keys[4];
    bool wanted[4];
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      keys[k] = ordered_key(four.value[k]);
      wanted[k] = four.takes_part[k] && count_digit<1>(keys[k], prefixes, block_bins);
    }
    if (keeps) keep_keys(keys, wanted, &kept[0], region, candidates.room);
  }
  simt::sync_threads();
  add_bins(block_bins, ranks * kDigitBins, bins);
  if (threadIdx.x == 0) {
    candidates.counts[blockIdx.x] = keeps && kept[0] <= candidates.room ? kept[0] : kTooMany;
  }
}

/// The same for the last digit, from what the block of the same number has kept; a block that could not keep
/// its share reads the scores again.
__global__ void select_last_digits(MaskedScores scores, const FoundRank* found, int ranks, Count* bins,
                                   Candidates candidates) {
  DYN_SHARED(unsigned, block_bins);  // (ranks, kDigitBins)
  for (int b = static_cast<int>(threadIdx.x); b < ranks * kDigitBins; b += kSearchThreads) block_bins[b] = 0;
  const Prefixes prefixes(found, ranks);
  const unsigned kept = candidates.counts[blockIdx.x];
  const uint32_t* region = candidates.keys + static_cast<int64_t>(blockIdx.x) * candidates.room;
  simt::sync_threads();
  if (kept != kTooMany) {
    for (unsigned i = threadIdx.x; i < kept; i += kSearchThreads) {
      count_digit<2>(region[i], prefixes, block_bins);
    }
  } else {
    const int64_t stride = static_cast<int64_t>(gridDim.x) * (4 * kSearchThreads);
    for (int64_t i = 4 * (static_cast<int64_t>(blockIdx.x) * kSearchThreads + threadIdx.x); i < scores.n;
         i += stride) {
      const FourScores four = load_four_scores(scores, i);
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        if (four.takes_part[k]) count_digit<2>(ordered_key(four.value[k]), prefixes, block_bins);
      }
    }
  }
  simt::sync_threads();
  add_bins(block_bins, ranks * kDigitBins, bins);
}

/// One block per rank: where it lies in the histogram of the first digit, which all ranks share.
__global__ void select_first_bin(const Count* bins, WantedRanks wanted, const Count* first_nan,
                                 FoundRank* found) {
  constexpr int kPerThread = kDigitBins / kSearchThreads;
  Count mine = 0;
  for (int k = 0; k < kPerThread; ++k) mine += bins[threadIdx.x * kPerThread + k];
  const Count count = block_exclusive_sum<kSearchThreads>(mine).all;
  FoundBin<Count> bin{0, 0, 0};
  if (count > 0) {  // the same for all threads
    bin = find_bin<kSearchThreads>(bins, wanted.rank(static_cast<int>(blockIdx.x), count));
  }
  if (threadIdx.x == 0) found[blockIdx.x] = {bin.bin, bin.rank, bin.count, count, *first_nan};
}

/// One block per rank: where it lies in the histogram of the next digit. next: (gridDim.x)
template <int kDigit>
__global__ void select_next_bin(const Count* bins, const FoundRank* found, FoundRank* next) {
  const int r = static_cast<int>(blockIdx.x);
  const FoundRank own = found[r];
  FoundBin<Count> bin{0, 0, 0};
  if (own.count > 0) {
    bin = find_bin<kSearchThreads>(bins + histogram_of(found, r) * kDigitBins, own.rank);
  }
  if (threadIdx.x == 0) {
    next[r] = {own.key << digit_bits(kDigit) | bin.bin, bin.rank, bin.count, own.count, own.first_nan};
  }
}

/// The passes over the scores: two, and a third over what the second kept. The first digit's histogram serves
/// every group of ranks.
class RankSearch {
 public:
  RankSearch(const MaskedScores& scores, Stream stream)
      : scores_(scores),
        stream_(stream),
        blocks_(blocks_of(scores.n)),
        room_(blocks_for(scores.n, blocks_ * 4 * kSearchThreads) * (2 * kSearchThreads)) {
    clear(first_bins_.data(), kDigitBins, first_nan_.data());
    launch<select_first_digits>(blocks_, kSearchThreads, 0, stream_, scores_, first_bins_.data(),
                                first_nan_.data());
  }
  /// Queues the search; found: (wanted.ranks), in device memory.
  void find(const WantedRanks& wanted, FoundRank* found) {
    const Count* const first_bins = first_bins_.data();
    const Count* const first_nan = first_nan_.data();
    launch<select_first_bin>(wanted.ranks, kSearchThreads, 0, stream_, first_bins, wanted, first_nan,
                             first_step_.data());
    next_digit<1, select_second_digits>(wanted.ranks, first_step_.data(), second_step_.data());
    next_digit<2, select_last_digits>(wanted.ranks, second_step_.data(), found);
  }

 private:
  static int64_t blocks_of(int64_t n) {
    const int64_t blocks = blocks_for(n, kRowsPerBlock);
    return blocks < 1 ? 1 : blocks > kMostSearchBlocks ? kMostSearchBlocks : blocks;
  }
  void clear(Count* bins, int64_t n, Count* first_nan) {
    launch<select_clear>(blocks_for(n, kClearedPerBlock), kSearchThreads, 0, stream_, bins, n, first_nan);
  }
  template <int kDigit, auto kCountDigits>
  void next_digit(int ranks, const FoundRank* found, FoundRank* next) {
    const int64_t bins = int64_t{ranks} * kDigitBins;
    clear(bins_.data(), bins, nullptr);
    launch<kCountDigits>(blocks_, kSearchThreads, bins * static_cast<int64_t>(sizeof(unsigned)), stream_,
                         scores_, found, ranks, bins_.data(),
                         Candidates{candidates_.data(), candidate_counts_.data(), room_});
    launch<select_next_bin<kDigit>>(ranks, kSearchThreads, 0, stream_,
                                    static_cast<const Count*>(bins_.data()), found, next);
  }

  MaskedScores scores_;
  Stream stream_;
  int64_t blocks_;
  int64_t room_;  // candidates that a block may keep: half of its share of the scores
  DeviceArray<uint32_t> candidates_{blocks_ * room_};
  DeviceArray<unsigned> candidate_counts_{blocks_};
  DeviceArray<Count> first_bins_{kDigitBins};
  DeviceArray<Count> bins_{int64_t{kRankGroup} * kDigitBins};
  DeviceArray<Count> first_nan_{1};
  DeviceArray<FoundRank> first_step_{kRankGroup};
  DeviceArray<FoundRank> second_step_{kRankGroup};
};

}  // namespace
}  // namespace mt::MT_BACKEND
