#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "kernels/rank_loss/rank_loss.h"
#include "tensor/check.h"

namespace mt {
namespace {

/// Sorts the whole bag; returns the mean of its top logits and fills selected (top).
double top_mean(const double* logits, int64_t n, int64_t top, int64_t first_row, int64_t* selected) {
  check(n >= 1, "rank_loss: the bag that starts at row {} is empty", first_row);
  std::vector<int64_t> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), int64_t{0});
  for (int64_t i = 0; i < n; ++i)
    check(!std::isnan(logits[i]), "rank_loss: the logit of row {} is NaN", first_row + i);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return logits[a] > logits[b]; });
  const int64_t used = std::min(n, top);
  double sum = 0;
  for (int64_t i = 0; i < top; ++i) {
    selected[i] = i < used ? order[static_cast<std::size_t>(i)] : -1;
    if (i < used) sum += logits[selected[i]];
  }
  return sum / static_cast<double>(used);
}

void forward(const double* logits, const int64_t* offsets, int64_t pairs, int64_t top, double* loss,
             int64_t* selected, Stream) {
  check(top >= 1, "rank_loss: top must be at least 1, not {}", top);
  for (int64_t p = 0; p < pairs; ++p) {
    double mean[2];
    for (int64_t side = 0; side < 2; ++side) {
      const int64_t bag = 2 * p + side;
      mean[side] = top_mean(logits + offsets[bag], offsets[bag + 1] - offsets[bag], top, offsets[bag],
                            selected + bag * top);
    }
    loss[p] = std::max(0.0, 1 - mean[0] + mean[1]);
  }
}

void backward(const double* loss, const double* dloss, const int64_t* offsets, const int64_t* selected,
              int64_t pairs, int64_t top, double* dlogits, Stream) {
  std::fill(dlogits, dlogits + offsets[2 * pairs], 0.0);
  for (int64_t bag = 0; bag < 2 * pairs; ++bag) {
    if (!(loss[bag / 2] > 0)) continue;
    const double used = static_cast<double>(std::min(top, offsets[bag + 1] - offsets[bag]));
    for (int64_t i = 0; i < top; ++i) {
      const int64_t index = selected[bag * top + i];
      if (index >= 0) dlogits[offsets[bag] + index] = (bag % 2 == 0 ? -1 : 1) * dloss[bag / 2] / used;
    }
  }
}

}  // namespace

template <>
const RankLoss<double>& rank_loss<double>(Device device) {
  check(device == Device::cpu, "rank_loss: the double reference runs on the cpu only, not on {}",
        name_of(device));
  static constexpr RankLoss<double> table{forward, backward};
  return table;
}

}  // namespace mt
