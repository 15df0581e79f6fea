#include "kernels/compact/compact.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/compact/compact_cpu.cc"
#include <hwy/foreach_target.h>
// The headers above must come first: this file is compiled once per instruction set.
#include <hwy/highway.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

#include "kernels/common/scores-inl.h"
#include "kernels/common/tables.h"
#include "tensor/parallel.h"

HWY_BEFORE_NAMESPACE();
namespace mt::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

/// Bit i of `passing` (ceil(n / 64) words) is set where row i takes part and scores[i] >= lowest. scores,
/// mask (or null): (n). Returns whether a score that takes part is NaN.
bool PassingRows(const float* scores, const uint8_t* mask, int64_t n, float lowest, uint64_t* passing) {
  const ScoreLanes d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto threshold = hn::Set(d, lowest);
  auto has_nan = hn::FirstN(d, 0);
  for (int64_t word = 0; 64 * word < n; ++word) {
    uint64_t bits = 0;
    for (int64_t k = 0; k < 64 && 64 * word + k < n; k += lanes) {
      const auto v = scores_at(scores, 64 * word + k, n);
      const auto takes_part = rows_taking_part(mask, 64 * word + k, n);
      has_nan = hn::Or(has_nan, hn::And(takes_part, hn::IsNaN(v)));
      uint8_t stored[8] = {};
      hn::StoreMaskBits(d, hn::And(takes_part, hn::Ge(v, threshold)), stored);
      uint64_t of_register;
      hwy::CopyBytes<8>(stored, &of_register);
      bits |= of_register << k;
    }
    passing[word] = bits;
  }
  return !hn::AllFalse(d, has_nan);
}

}  // namespace mt::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mt {
namespace {

HWY_EXPORT(PassingRows);

constexpr int64_t kChunk = 65536;  // rows that a thread reads at a time
constexpr int64_t kChunkWords = kChunk / 64;

/// The threshold as a float t with: score passes <=> score >= t. Exact, since scores are floats themselves.
float lowest_passing_score(Threshold kind, double value) {
  const float nearest = static_cast<float>(value);
  const double rounded = static_cast<double>(nearest);
  const bool passes = kind == Threshold::above ? rounded > value : rounded >= value;
  return passes ? nearest : std::nextafterf(nearest, HUGE_VALF);
}

/// Which rows pass, a bit each, and behind how many others each chunk's first one stands.
struct Passing {
  std::vector<uint64_t> bits;   // (ceil(n / 64))
  std::vector<int64_t> starts;  // (chunks)
  int64_t count = 0;
};

/// Reads the scores once.
Passing passing_rows(const float* scores, const uint8_t* mask, int64_t n, Threshold kind, double value) {
  const auto find = HWY_DYNAMIC_DISPATCH(PassingRows);
  const float lowest = lowest_passing_score(kind, value);
  const int64_t chunks = (n + kChunk - 1) / kChunk;
  Passing passing;
  passing.bits.resize((n + 63) / 64);
  std::vector<uint8_t> has_nan(chunks);
  std::vector<int64_t> counts(chunks);
  parallel_for(n, kChunk, [&](int64_t begin, int64_t end) {
    uint64_t* bits = passing.bits.data() + begin / 64;
    const uint8_t* of_chunk = mask == nullptr ? nullptr : mask + begin;
    has_nan[begin / kChunk] = find(scores + begin, of_chunk, end - begin, lowest, bits) ? 1 : 0;
    for (int64_t w = 0; w < (end - begin + 63) / 64; ++w) counts[begin / kChunk] += std::popcount(bits[w]);
  });
  if (std::find(has_nan.begin(), has_nan.end(), 1) != has_nan.end()) {
    int64_t row = 0;
    while ((mask != nullptr && mask[row] == 0) || !std::isnan(scores[row])) ++row;
    fail("compact: the score of row {} is NaN", row);
  }
  const bool none_passes = kind == Threshold::above && value >= HUGE_VAL;
  if (none_passes) std::fill(counts.begin(), counts.end(), 0);
  for (const int64_t count : counts) {
    passing.starts.push_back(passing.count);
    passing.count += count;
  }
  return passing;
}

/// f(k, row) for the k-th passing row, for all of them; from several threads.
template <typename F>
void for_each_passing(const Passing& passing, const F& f) {
  if (passing.count == 0) return;
  parallel_for(std::ssize(passing.bits), kChunkWords, [&](int64_t begin, int64_t end) {
    int64_t k = passing.starts[begin / kChunkWords];
    for (int64_t word = begin; word < end; ++word) {
      for (uint64_t bits = passing.bits[word]; bits != 0; bits &= bits - 1)
        f(k++, 64 * word + std::countr_zero(bits));
    }
  });
}

int64_t indices(const float* scores, const uint8_t* mask, int64_t n, Threshold kind, double value,
                int64_t* kept, Stream) {
  const Passing passing = passing_rows(scores, mask, n, kind, value);
  for_each_passing(passing, [kept](int64_t k, int64_t row) { kept[k] = row; });
  return passing.count;
}

int64_t triples(const int32_t* slides, const int64_t* patches, const float* scores, const uint8_t* mask,
                int64_t n, Threshold kind, double value, int32_t* kept_slides, int64_t* kept_patches,
                float* kept_scores, Stream) {
  const Passing passing = passing_rows(scores, mask, n, kind, value);
  const bool in_place = kept_slides == slides || kept_patches == patches || kept_scores == scores;
  const auto keep = [=](int64_t k, int64_t row) {
    kept_slides[k] = slides[row];
    kept_patches[k] = patches[row];
    kept_scores[k] = scores[row];
  };
  if (!in_place) {
    for_each_passing(passing, keep);
    return passing.count;
  }
  // In order and in one thread: row >= k has not been written yet.
  int64_t k = 0;
  for (int64_t word = 0; word < std::ssize(passing.bits) && k < passing.count; ++word) {
    for (uint64_t bits = passing.bits[word]; bits != 0; bits &= bits - 1)
      keep(k++, 64 * word + std::countr_zero(bits));
  }
  return passing.count;
}

}  // namespace

template <>
const Compact<float>& compact<float>(Device device) {
  static constexpr Compact<float> table{indices, triples};
  return device == Device::cpu ? table : device_table<Compact<float>>(device, "compact");
}

}  // namespace mt
#endif
