#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <vector>

#include "kernels/common/tables.h"
#include "kernels/select/select.h"
#include "tensor/parallel.h"

namespace mt {
namespace {

constexpr int64_t kBins = 2048;  // of a digit's histogram
constexpr int kDigits = 3;       // 11, 11 and 10 bits of a key
constexpr int kShift[kDigits] = {21, 10, 0};

/// A key whose order as an unsigned integer is the order of the scores; -0 and +0 share one.
uint32_t key_of(float score) {
  const uint32_t bits = std::bit_cast<uint32_t>(score + 0.0F);
  return (bits >> 31) != 0 ? ~bits : bits | 0x80000000U;
}

float score_of(uint32_t key) {
  return std::bit_cast<float>((key >> 31) != 0 ? key & 0x7FFFFFFFU : ~key);
}

struct Scores {
  const float* values;
  const uint8_t* mask;  // or null
  int64_t n;
  bool takes_part(int64_t row) const { return mask == nullptr || mask[row] != 0; }
  /// Few enough that a histogram for each is cheap. Counts are integers, so the split does not show in the
  /// result.
  int64_t chunk() const { return std::max<int64_t>(65536, (n + 63) / 64); }
  std::size_t chunks() const { return static_cast<std::size_t>((n + chunk() - 1) / chunk()); }
};

using Histogram = std::vector<int64_t>;

/// Finds order statistics digit by digit: a histogram of the first 11 bits tells in which bin a rank lies,
/// one of the next 11 bits among the keys of that bin refines it, and the last 10 bits settle it. Several
/// ranks share each pass.
class RadixSelect {
 public:
  explicit RadixSelect(const Scores& scores) : scores_(scores) {
    refuse_nan();
    first_ = histograms(0, {0});
    for (const int64_t count : first_) count_ += count;
  }
  /// Rows that take part.
  int64_t count() const { return count_; }

  struct Found {
    uint32_t key = 0;
    int64_t rank_in_key = 0;  // how many equal keys come before this rank
    int64_t equal = 0;        // how many keys equal this one
  };
  /// The keys at these ranks (0 = smallest), each below count().
  std::vector<Found> at(const std::vector<int64_t>& ranks) const {
    std::vector<Found> found;
    for (const int64_t rank : ranks) found.push_back(in_bins(first_.data(), 0, rank, 0));
    for (int digit = 1; digit < kDigits; ++digit) {
      std::vector<uint32_t> prefixes;  // sorted, distinct
      for (const Found& f : found) prefixes.push_back(f.key);
      std::sort(prefixes.begin(), prefixes.end());
      prefixes.erase(std::unique(prefixes.begin(), prefixes.end()), prefixes.end());
      const Histogram bins = histograms(digit, prefixes);
      for (Found& f : found) {
        const auto slot = std::lower_bound(prefixes.begin(), prefixes.end(), f.key) - prefixes.begin();
        f = in_bins(bins.data() + slot * kBins, f.key, f.rank_in_key, digit);
      }
    }
    return found;
  }

 private:
  void refuse_nan() const {
    std::vector<int64_t> nan_rows(scores_.chunks(), -1);
    parallel_for(scores_.n, scores_.chunk(), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        if (scores_.values[i] == scores_.values[i] || !scores_.takes_part(i)) continue;
        nan_rows[static_cast<std::size_t>(begin / scores_.chunk())] = i;
        return;
      }
    });
    for (const int64_t row : nan_rows) check(row < 0, "select: the score of row {} is NaN", row);
  }

  /// For each prefix (the leading digits, shifted down) the histogram of the next digit: (prefixes, kBins).
  Histogram histograms(int digit, const std::vector<uint32_t>& prefixes) const {
    const std::size_t size = prefixes.size() * kBins;
    std::vector<Histogram> partial(scores_.chunks());
    parallel_for(scores_.n, scores_.chunk(), [&](int64_t begin, int64_t end) {
      Histogram bins(size, 0);
      for (int64_t i = begin; i < end; ++i) {
        if (!scores_.takes_part(i)) continue;
        const uint32_t key = key_of(scores_.values[i]);
        const uint32_t bin = (key >> kShift[digit]) & (digit == 2 ? 1023U : 2047U);
        if (digit == 0) {
          ++bins[bin];
          continue;
        }
        const uint32_t prefix = key >> kShift[digit - 1];
        if (prefix < prefixes.front() || prefix > prefixes.back()) continue;
        const auto slot = std::lower_bound(prefixes.begin(), prefixes.end(), prefix);
        if (*slot == prefix) ++bins[static_cast<std::size_t>(slot - prefixes.begin()) * kBins + bin];
      }
      partial[static_cast<std::size_t>(begin / scores_.chunk())] = std::move(bins);
    });
    Histogram total(size, 0);
    for (const Histogram& bins : partial) {
      for (std::size_t i = 0; i < size; ++i) total[i] += bins[i];
    }
    return total;
  }

  static Found in_bins(const int64_t* bins, uint32_t prefix, int64_t rank, int digit) {
    uint32_t bin = 0;
    while (rank >= bins[bin]) rank -= bins[bin++];
    return {prefix << (digit == 2 ? 10 : 11) | bin, rank, bins[bin]};
  }

  Scores scores_;
  Histogram first_;
  int64_t count_ = 0;
};

/// Between two order statistics; an infinite one stays what it is.
double interpolate(double below, double above, double fraction) {
  return fraction > 0 && above != below && !std::isinf(below) ? below + fraction * (above - below) : below;
}

void quantiles(const float* scores, const uint8_t* mask, int64_t n, const double* levels, double* values,
               int64_t level_count, Stream) {
  const RadixSelect order({scores, mask, n});
  check(order.count() >= 1, "select: the quantile of no scores");
  std::vector<int64_t> ranks;
  for (int64_t l = 0; l < level_count; ++l) {
    check(levels[l] >= 0 && levels[l] <= 1, "select: quantile level {} lies outside of [0, 1]", levels[l]);
    const int64_t below =
        static_cast<int64_t>(std::floor(levels[l] * static_cast<double>(order.count() - 1)));
    ranks.push_back(below);
    ranks.push_back(std::min(below + 1, order.count() - 1));
  }
  if (ranks.empty()) return;
  const auto found = order.at(ranks);
  for (std::size_t l = 0; l < static_cast<std::size_t>(level_count); ++l) {
    const double position = levels[l] * static_cast<double>(order.count() - 1);
    values[l] =
        interpolate(static_cast<double>(score_of(found[2 * l].key)),
                    static_cast<double>(score_of(found[2 * l + 1].key)), position - std::floor(position));
  }
}

/// The rows whose key is above `key`, and the first `ties` rows whose key equals it, in ascending order.
std::vector<int64_t> rows_from_key(const Scores& scores, uint32_t key, int64_t ties) {
  std::vector<int64_t> rows;
  for (int64_t i = 0; i < scores.n; ++i) {
    if (!scores.takes_part(i)) continue;
    const uint32_t own = key_of(scores.values[i]);
    if (own > key || (own == key && ties-- > 0)) rows.push_back(i);
  }
  return rows;
}

int64_t top_k(const float* scores, const uint8_t* mask, int64_t n, int64_t k, int64_t* indices, float* values,
              Stream) {
  check(k >= 0, "select: the top {} of {} scores", k, n);
  const Scores all{scores, mask, n};
  const RadixSelect order(all);
  const int64_t found = std::min(k, order.count());
  if (found == 0) return 0;
  const auto last = order.at({order.count() - found}).front();
  // Of the keys equal to the last one, `rank_in_key` sort below it in ascending order and are not chosen.
  std::vector<int64_t> rows = rows_from_key(all, last.key, last.equal - last.rank_in_key);
  std::sort(rows.begin(), rows.end(), [scores](int64_t a, int64_t b) {
    return scores[a] > scores[b] || (scores[a] == scores[b] && a < b);
  });
  for (int64_t i = 0; i < found; ++i) {
    indices[i] = rows[static_cast<std::size_t>(i)];
    values[i] = scores[indices[i]];
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
