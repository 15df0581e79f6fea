#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/select/select.h"
#include "tensor/check.h"

namespace mt {
namespace {

/// The rows that take part, in their order.
std::vector<int64_t> rows_of(const double* scores, const uint8_t* mask, int64_t n) {
  std::vector<int64_t> rows;
  for (int64_t i = 0; i < n; ++i) {
    if (mask != nullptr && mask[i] == 0) continue;
    check(!std::isnan(scores[i]), "select: the score of row {} is NaN", i);
    rows.push_back(i);
  }
  return rows;
}

void quantiles(const double* scores, const uint8_t* mask, int64_t n, const double* levels, double* values,
               int64_t level_count, Stream) {
  std::vector<double> sorted;
  for (const int64_t row : rows_of(scores, mask, n)) sorted.push_back(scores[row]);
  check(!sorted.empty(), "select: the quantile of no scores");
  std::sort(sorted.begin(), sorted.end());
  for (int64_t l = 0; l < level_count; ++l) {
    check(levels[l] >= 0 && levels[l] <= 1, "select: quantile level {} lies outside of [0, 1]", levels[l]);
    const double position = levels[l] * static_cast<double>(sorted.size() - 1);
    const std::size_t below = static_cast<std::size_t>(std::floor(position));
    const std::size_t above = std::min(below + 1, sorted.size() - 1);
    const double fraction = position - static_cast<double>(below);
    values[l] = sorted[below];
    if (fraction > 0 && sorted[above] != sorted[below] && !std::isinf(sorted[below]))
      values[l] += fraction * (sorted[above] - sorted[below]);
  }
}

int64_t top_k(const double* scores, const uint8_t* mask, int64_t n, int64_t k, int64_t* indices,
              double* values, Stream) {
  check(k >= 0, "select: the top {} of {} scores", k, n);
  std::vector<int64_t> rows = rows_of(scores, mask, n);
  std::stable_sort(rows.begin(), rows.end(), [&](int64_t a, int64_t b) { return scores[a] > scores[b]; });
  const int64_t found = std::min(k, static_cast<int64_t>(rows.size()));
  for (int64_t i = 0; i < found; ++i) {
    indices[i] = rows[static_cast<std::size_t>(i)];
    values[i] = scores[indices[i]];
  }
  return found;
}

}  // namespace

template <>
const Select<double>& select<double>(Device device) {
  check(device == Device::cpu, "select: the double reference runs on the cpu only, not on {}",
        name_of(device));
  static constexpr Select<double> table{quantiles, top_k};
  return table;
}

}  // namespace mt
