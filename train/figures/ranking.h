#pragma once
// Binary labels in the order of their scores: what every curve and area is counted from.

#include <cstdint>
#include <span>
#include <vector>

namespace mt::train {

/// The scores of each class as keys whose order as unsigned integers is that of the scores, ascending. O(n).
class Ranking {
 public:
  /// labels, scores: (n). Throws Error on lengths that differ, a label other than 0 and 1, and NaN.
  Ranking(std::span<const int> labels, std::span<const double> scores);

  int64_t positives() const { return std::ssize(positives_); }
  int64_t negatives() const { return std::ssize(negatives_); }

  /// step(score, true positives, false positives) for each distinct score, descending: how many are called
  /// positive rightly and wrongly when everything from this score upwards is.
  template <typename Step>
  void for_each_step(const Step& step) const {
    auto positive = positives_.rbegin();
    auto negative = negatives_.rbegin();
    while (positive != positives_.rend() || negative != negatives_.rend()) {
      const uint64_t of_positive = positive != positives_.rend() ? *positive : 0;
      const uint64_t of_negative = negative != negatives_.rend() ? *negative : 0;
      const uint64_t key = of_positive > of_negative ? of_positive : of_negative;
      while (positive != positives_.rend() && *positive == key) ++positive;
      while (negative != negatives_.rend() && *negative == key) ++negative;
      step(score_of(key), positive - positives_.rbegin(), negative - negatives_.rbegin());
    }
  }

 private:
  static double score_of(uint64_t key);

  std::vector<uint64_t> positives_, negatives_;
};

/// labels, scores as Ranking takes them; throws as it does.
void check_labels_and_scores(std::span<const int> labels, std::span<const double> scores);

/// Sorts ascending, many keys digit by digit: digits that all keys share (the low ones, where scores were
/// floats) cost nothing.
void sort_keys(std::vector<uint64_t>& keys);

}  // namespace mt::train
