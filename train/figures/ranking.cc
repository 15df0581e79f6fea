#include "train/figures/ranking.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <utility>

#include "tensor/check.h"
#include "tensor/parallel.h"

namespace mt::train {
namespace {

constexpr uint64_t kSign = uint64_t{1} << 63;
constexpr int kDigitBits = 11;
constexpr int kDigits = 6;              // 66 bits
constexpr std::size_t kFewKeys = 2048;  // so few are sorted by comparison

uint64_t key_of(double score) {
  const uint64_t bits = std::bit_cast<uint64_t>(score + 0.0);  // -0 becomes +0, its equal
  return (bits & kSign) != 0 ? ~bits : bits | kSign;
}

std::size_t digit_of(uint64_t key, int digit) {
  return (key >> (kDigitBits * digit)) & ((uint64_t{1} << kDigitBits) - 1);
}

}  // namespace

void check_labels_and_scores(std::span<const int> labels, std::span<const double> scores) {
  check(labels.size() == scores.size(), "metrics: {} labels for {} scores", labels.size(), scores.size());
  for (std::size_t i = 0; i < labels.size(); ++i) {
    check(labels[i] == 0 || labels[i] == 1, "metrics: label {} of item {}; only 0 and 1 are known", labels[i],
          i);
    check(!std::isnan(scores[i]), "metrics: the score of item {} is NaN", i);
  }
}

void sort_keys(std::vector<uint64_t>& keys) {
  if (keys.size() <= kFewKeys) {
    std::sort(keys.begin(), keys.end());
    return;
  }
  std::array<std::array<std::size_t, std::size_t{1} << kDigitBits>, kDigits> counts{};
  for (const uint64_t key : keys) {
    for (int digit = 0; digit < kDigits; ++digit) ++counts[digit][digit_of(key, digit)];
  }
  std::vector<uint64_t> sorted(keys.size());
  for (int digit = 0; digit < kDigits; ++digit) {
    auto& places = counts[digit];
    if (places[digit_of(keys.front(), digit)] == keys.size()) continue;  // all keys share it
    std::size_t before = 0;
    for (std::size_t& place : places) before += std::exchange(place, before);
    for (const uint64_t key : keys) sorted[places[digit_of(key, digit)]++] = key;
    keys.swap(sorted);
  }
}

Ranking::Ranking(std::span<const int> labels, std::span<const double> scores) {
  check_labels_and_scores(labels, scores);
  const auto positives = static_cast<std::size_t>(std::count(labels.begin(), labels.end(), 1));
  positives_.resize(positives);
  negatives_.resize(labels.size() - positives);
  // No branch on a label: half of the guesses would be wrong.
  uint64_t* next[2] = {negatives_.data(), positives_.data()};
  for (std::size_t i = 0; i < labels.size(); ++i) *next[labels[i]]++ = key_of(scores[i]);
  parallel_for(2, 1, [&](int64_t begin, int64_t) { sort_keys(begin == 0 ? negatives_ : positives_); });
}

double Ranking::score_of(uint64_t key) {
  return std::bit_cast<double>((key & kSign) != 0 ? key & ~kSign : ~key);
}

}  // namespace mt::train
