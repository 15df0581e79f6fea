#pragma once
// What one read of the scores on the CPU leaves behind: a few counts, and the few scores that matter.

#include <algorithm>
#include <cstdint>
#include <vector>

namespace mt {

/// low <= high.
struct Bracket {
  float low, high;
};

/// Scores against a bracket. Only those strictly inside are kept, so that ties fill no memory.
struct Split {
  int64_t below = 0;
  int64_t at_low = 0;
  int64_t at_high = 0;
  bool has_nan = false;
  std::vector<float> between;

  void add(const Split& other) {
    below += other.below;
    at_low += other.at_low;
    at_high += other.at_high;
    has_nan = has_nan || other.has_nan;
    between.insert(between.end(), other.between.begin(), other.between.end());
  }
  /// The score of a rank that lies at an end of the bracket, or is the first or last between.
  float at_edge(Bracket bracket, int64_t rank) const {
    rank -= below + at_low;
    if (rank < 0) return bracket.low;
    if (rank >= static_cast<int64_t>(between.size())) return bracket.high;
    return rank == 0 ? *std::min_element(between.begin(), between.end())
                     : *std::max_element(between.begin(), between.end());
  }
};

struct RankedRow {
  float score;
  int64_t row;
  /// Descending scores, ties by smaller row.
  bool operator<(const RankedRow& other) const {
    return score > other.score || (score == other.score && row < other.row);
  }
};

/// The rows above a score, and the first of those that equal it; both in ascending order of rows.
struct TopRows {
  std::vector<RankedRow> above, ties;
  bool has_nan = false;

  void add(const TopRows& other) {
    above.insert(above.end(), other.above.begin(), other.above.end());
    ties.insert(ties.end(), other.ties.begin(), other.ties.end());
    has_nan = has_nan || other.has_nan;
  }
};

}  // namespace mt
