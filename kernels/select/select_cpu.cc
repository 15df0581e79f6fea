#include "kernels/select/select.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/select/select_cpu.cc"
#include <hwy/foreach_target.h>
// The headers above must come first: this file is compiled once per instruction set.
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "kernels/common/scores-inl.h"
#include "kernels/common/tables.h"
#include "kernels/select/select_parts.h"
#include "tensor/parallel.h"

HWY_BEFORE_NAMESPACE();
namespace mt::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

/// One read of scores, mask (or null): (n). `between` grows by the scores strictly inside of the bracket.
void SplitScores(const float* scores, const uint8_t* mask, int64_t n, Bracket bracket, Split& split) {
  constexpr int64_t kStaged = 4096;
  const ScoreLanes d;
  const hn::RebindToSigned<ScoreLanes> d32;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto low = hn::Set(d, bracket.low);
  const auto high = hn::Set(d, bracket.high);
  float staged[kStaged + 2 * HWY_MAX_BYTES / sizeof(float)];  // CompressStore writes whole registers
  int64_t held = 0;
  auto below = hn::Zero(d32);  // counts; n is at most a chunk
  auto at_low = hn::Zero(d32);
  auto at_high = hn::Zero(d32);
  auto has_nan = hn::FirstN(d, 0);
  const auto counted = [&](auto count, auto rows)
                           HWY_ATTR { return hn::Sub(count, hn::BitCast(d32, hn::VecFromMask(d, rows))); };
  for (int64_t i = 0; i < n; i += lanes) {
    const auto v = scores_at(scores, i, n);
    const auto takes_part = rows_taking_part(mask, i, n);
    const auto inside = hn::And(takes_part, hn::And(hn::Gt(v, low), hn::Lt(v, high)));
    below = counted(below, hn::And(takes_part, hn::Lt(v, low)));
    at_low = counted(at_low, hn::And(takes_part, hn::Eq(v, low)));
    at_high = counted(at_high, hn::And(takes_part, hn::Eq(v, high)));
    has_nan = hn::Or(has_nan, hn::And(takes_part, hn::IsNaN(v)));
    if (hn::AllFalse(d, inside)) continue;
    held += static_cast<int64_t>(hn::CompressStore(v, inside, d, staged + held));
    if (held < kStaged) continue;
    split.between.insert(split.between.end(), staged, staged + held);
    held = 0;
  }
  split.between.insert(split.between.end(), staged, staged + held);
  split.below += hn::GetLane(hn::SumOfLanes(d32, below));
  split.at_low += hn::GetLane(hn::SumOfLanes(d32, at_low));
  split.at_high += hn::GetLane(hn::SumOfLanes(d32, at_high));
  split.has_nan = split.has_nan || !hn::AllFalse(d, has_nan);
}

/// The rows first_row + i with scores[i] > low, and the first `most_ties` with scores[i] == low. scores, mask
/// (or null): (n).
void RowsFrom(const float* scores, const uint8_t* mask, int64_t n, float low, int64_t first_row,
              int64_t most_ties, TopRows& top) {
  const ScoreLanes d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto lowest = hn::Set(d, low);
  auto has_nan = hn::FirstN(d, 0);
  for (int64_t i = 0; i < n; i += lanes) {
    const auto v = scores_at(scores, i, n);
    const auto takes_part = rows_taking_part(mask, i, n);
    has_nan = hn::Or(has_nan, hn::And(takes_part, hn::IsNaN(v)));
    if (hn::AllFalse(d, hn::And(takes_part, hn::Ge(v, lowest)))) continue;
    for (int64_t row = i; row < std::min(n, i + lanes); ++row) {
      if (mask != nullptr && mask[row] == 0) continue;
      if (scores[row] > low) top.above.push_back({scores[row], first_row + row});
      if (scores[row] == low && static_cast<int64_t>(top.ties.size()) < most_ties)
        top.ties.push_back({scores[row], first_row + row});
    }
  }
  top.has_nan = !hn::AllFalse(d, has_nan);
}

}  // namespace mt::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mt {
namespace {

HWY_EXPORT(SplitScores);
HWY_EXPORT(RowsFrom);

constexpr int64_t kChunk = 65536;    // rows that a thread reads at a time
constexpr int64_t kFewRows = 16384;  // so few are not worth a sample
constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct Scores {
  const float* values;  // (n)
  const uint8_t* mask;  // (n) or null
  int64_t n;
  bool takes_part(int64_t row) const { return mask == nullptr || mask[row] != 0; }
  int64_t count() const { return mask == nullptr ? n : n - std::count(mask, mask + n, uint8_t{0}); }
};

[[noreturn]] void fail_nan(const Scores& scores) {
  int64_t row = 0;
  while (!scores.takes_part(row) || !std::isnan(scores.values[row])) ++row;
  fail("select: the score of row {} is NaN", row);
}

/// Some of the rows that take part, one from each stretch of rows at a place that a hash chooses, so that no
/// regular pattern of scores is met in step. A bad sample costs time, never the result.
std::vector<float> sample_of(const Scores& scores) {
  const int64_t wanted = std::clamp<int64_t>(scores.n / 64, 1024, 8192);
  const int64_t stretch = std::max<int64_t>(1, scores.n / wanted);
  std::vector<float> sample;
  for (int64_t start = 0; start + stretch <= scores.n; start += stretch) {
    const uint64_t hash = (static_cast<uint64_t>(start) + 1) * 0x9E3779B97F4A7C15U;
    const int64_t row = start + static_cast<int64_t>((hash >> 32) % static_cast<uint64_t>(stretch));
    if (scores.takes_part(row) && !std::isnan(scores.values[row])) sample.push_back(scores.values[row]);
  }
  return sample;
}

/// The score of a rank in a sample, which is put into another order; beyond its ends an infinity.
float sample_rank(std::vector<float>& sample, double rank) {
  if (rank < 0) return -kInfinity;
  if (rank >= static_cast<double>(sample.size())) return kInfinity;
  const auto place = sample.begin() + static_cast<std::ptrdiff_t>(rank);
  std::nth_element(sample.begin(), place, sample.end());
  return *place;
}

/// Where the score of this rank of `count` very likely lies: four standard deviations of the rank that it
/// has in the sample, to either side.
Bracket likely_bracket(std::vector<float>& sample, int64_t rank, int64_t count) {
  const auto size = static_cast<double>(sample.size());
  const double share = static_cast<double>(rank) / static_cast<double>(count);
  const double slack = 4 * std::sqrt(size * share * (1 - share)) + 4;
  return {sample_rank(sample, share * size - slack), sample_rank(sample, share * size + slack)};
}

Split split_all(const Scores& scores, Bracket bracket) {
  const auto split = HWY_DYNAMIC_DISPATCH(SplitScores);
  std::vector<Split> parts(static_cast<std::size_t>((scores.n + kChunk - 1) / kChunk));
  parallel_for(scores.n, kChunk, [&](int64_t begin, int64_t end) {
    const uint8_t* mask = scores.mask == nullptr ? nullptr : scores.mask + begin;
    split(scores.values + begin, mask, end - begin, bracket, parts[begin / kChunk]);
  });
  Split whole;
  for (const Split& part : parts) whole.add(part);
  if (whole.has_nan) fail_nan(scores);
  if (bracket.low == bracket.high) whole.at_high = 0;  // they are counted as at_low
  return whole;
}

struct Neighbours {
  float below, above;  // the scores of a rank and of the next
};

/// All scores that take part, NaN refused.
std::vector<float> gathered(const Scores& scores) {
  std::vector<float> held;
  for (int64_t i = 0; i < scores.n; ++i) {
    if (!scores.takes_part(i)) continue;
    if (std::isnan(scores.values[i])) fail_nan(scores);
    held.push_back(scores.values[i]);
  }
  return held;
}

/// The scores of ranks `rank` and `next` (the same, or one more), by partial sorting.
Neighbours by_partition(std::vector<float> held, int64_t rank, int64_t next) {
  const auto place = held.begin() + rank;
  std::nth_element(held.begin(), place, held.end());
  return {*place, next == rank ? *place : *std::min_element(place + 1, held.end())};
}

/// The same from one read of the scores, which leaves a few percent of them for the next round.
Neighbours order_statistics(const Scores& scores, int64_t count, int64_t rank, int64_t next) {
  if (scores.n < kFewRows) return by_partition(gathered(scores), rank, next);
  std::vector<float> sample = sample_of(scores);
  Bracket bracket = likely_bracket(sample, rank, count);
  while (bracket.low > -kInfinity || bracket.high < kInfinity) {
    const Split split = split_all(scores, bracket);
    const int64_t first = split.below + split.at_low;  // rank of the smallest score between
    const int64_t end = first + std::ssize(split.between);
    if (rank < split.below) {
      bracket.low = -kInfinity;
    } else if (next >= end + split.at_high) {
      bracket.high = kInfinity;
    } else if (rank >= first && next < end) {
      const Scores between{split.between.data(), nullptr, std::ssize(split.between)};
      return order_statistics(between, between.n, rank - first, next - first);
    } else {
      return {split.at_edge(bracket, rank), split.at_edge(bracket, next)};
    }
  }
  return by_partition(gathered(scores), rank, next);
}

/// Between two order statistics; an infinite one stays what it is.
double interpolate(double below, double above, double fraction) {
  return fraction > 0 && above != below && !std::isinf(below) ? below + fraction * (above - below) : below;
}

void quantiles(const float* values, const uint8_t* mask, int64_t n, const double* levels, double* results,
               int64_t level_count, Stream) {
  const Scores scores{values, mask, n};
  const int64_t count = scores.count();
  check(count >= 1, "select: the quantile of no scores");
  for (int64_t l = 0; l < level_count; ++l) {
    check(levels[l] >= 0 && levels[l] <= 1, "select: quantile level {} lies outside of [0, 1]", levels[l]);
    const double position = levels[l] * static_cast<double>(count - 1);
    const double rank = std::floor(position);
    const auto [below, above] = order_statistics(scores, count, static_cast<int64_t>(rank),
                                                 std::min(static_cast<int64_t>(rank) + 1, count - 1));
    // -0 equals +0 and is given as +0.
    results[l] =
        interpolate(static_cast<double>(below + 0.0F), static_cast<double>(above + 0.0F), position - rank);
  }
}

TopRows rows_from(const Scores& scores, float low, int64_t most_ties) {
  const auto rows = HWY_DYNAMIC_DISPATCH(RowsFrom);
  std::vector<TopRows> parts(static_cast<std::size_t>((scores.n + kChunk - 1) / kChunk));
  parallel_for(scores.n, kChunk, [&](int64_t begin, int64_t end) {
    const uint8_t* mask = scores.mask == nullptr ? nullptr : scores.mask + begin;
    rows(scores.values + begin, mask, end - begin, low, begin, most_ties, parts[begin / kChunk]);
  });
  TopRows whole;
  for (const TopRows& part : parts) whole.add(part);
  if (whole.has_nan) fail_nan(scores);
  return whole;
}

/// A score that about `found` of `count` reach, rather more than fewer.
float likely_low(const Scores& scores, int64_t found, int64_t count) {
  if (scores.n < kFewRows) return -kInfinity;
  std::vector<float> sample = sample_of(scores);
  const double expected =
      static_cast<double>(found) * static_cast<double>(sample.size()) / static_cast<double>(count);
  return sample_rank(sample,
                     static_cast<double>(sample.size()) - 1 - (expected + 4 * std::sqrt(expected) + 8));
}

int64_t top_k(const float* scores, const uint8_t* mask, int64_t n, int64_t k, int64_t* indices, float* values,
              Stream) {
  check(k >= 0, "select: the top {} of {} scores", k, n);
  const Scores all{scores, mask, n};
  const int64_t count = all.count();
  const int64_t found = std::min(k, count);
  const float low = found == 0 ? kInfinity : likely_low(all, found, count);
  TopRows top = rows_from(all, low, found);  // also where found is 0: NaN is refused
  if (std::ssize(top.above) + std::ssize(top.ties) < found) top = rows_from(all, -kInfinity, found);
  std::vector<RankedRow>& rows = top.above;
  const auto missing = std::clamp<int64_t>(found - std::ssize(rows), 0, std::ssize(top.ties));
  rows.insert(rows.end(), top.ties.begin(), top.ties.begin() + missing);
  if (std::ssize(rows) > found) {
    std::nth_element(rows.begin(), rows.begin() + found, rows.end());
    rows.resize(static_cast<std::size_t>(found));
  }
  std::sort(rows.begin(), rows.end());
  for (int64_t i = 0; i < found; ++i) {
    values[i] = rows[static_cast<std::size_t>(i)].score;
    indices[i] = rows[static_cast<std::size_t>(i)].row;
  }
  return found;
}

}  // namespace

template <>
const Select<float>& select<float>(Device device) {
  static constexpr Select<float> table{quantiles, top_k};
  return device == Device::cpu ? table : device_table<Select<float>>(device, "select");
}

}  // namespace mt
#endif
