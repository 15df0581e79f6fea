#include <algorithm>
#include <vector>

#include "kernels/common/tables.h"
#include "kernels/rank_loss/rank_loss.h"
#include "tensor/parallel.h"

namespace mt {
namespace {

/// A heap of the best `top` instances so far, the worst of them in front: one pass over the bag, O(n log
/// top).
double top_mean(const float* logits, int64_t n, int64_t top, int64_t first_row, int64_t* selected) {
  check(n >= 1, "rank_loss: the bag that starts at row {} is empty", first_row);
  const auto is_better = [logits](int64_t a, int64_t b) {
    return logits[a] > logits[b] || (logits[a] == logits[b] && a < b);
  };
  const int64_t used = std::min(n, top);
  std::vector<int64_t> heap;
  heap.reserve(static_cast<std::size_t>(used));
  for (int64_t i = 0; i < n; ++i) {
    check(logits[i] == logits[i], "rank_loss: the logit of row {} is NaN", first_row + i);
    if (i < used) {
      heap.push_back(i);
      if (i + 1 == used) std::make_heap(heap.begin(), heap.end(), is_better);
    } else if (logits[i] > logits[heap.front()]) {  // equal logits keep the smaller index
      std::pop_heap(heap.begin(), heap.end(), is_better);
      heap.back() = i;
      std::push_heap(heap.begin(), heap.end(), is_better);
    }
  }
  std::sort_heap(heap.begin(), heap.end(), is_better);
  double sum = 0;
  for (int64_t i = 0; i < top; ++i) {
    selected[i] = i < used ? heap[static_cast<std::size_t>(i)] : -1;
    if (i < used) sum += static_cast<double>(logits[selected[i]]);
  }
  return sum / static_cast<double>(used);
}

void forward(const float* logits, const int64_t* offsets, int64_t pairs, int64_t top, float* loss,
             int64_t* selected, Stream) {
  check(top >= 1, "rank_loss: top must be at least 1, not {}", top);
  std::vector<double> means(static_cast<std::size_t>(2 * pairs));
  parallel_for(2 * pairs, 1, [&](int64_t begin, int64_t end) {
    for (int64_t bag = begin; bag < end; ++bag) {
      means[static_cast<std::size_t>(bag)] = top_mean(logits + offsets[bag], offsets[bag + 1] - offsets[bag],
                                                      top, offsets[bag], selected + bag * top);
    }
  });
  for (int64_t p = 0; p < pairs; ++p) {
    const double hinge =
        1 - means[static_cast<std::size_t>(2 * p)] + means[static_cast<std::size_t>(2 * p + 1)];
    loss[p] = static_cast<float>(std::max(0.0, hinge));
  }
}

void backward(const float* loss, const float* dloss, const int64_t* offsets, const int64_t* selected,
              int64_t pairs, int64_t top, float* dlogits, Stream) {
  parallel_for(2 * pairs, 1, [=](int64_t begin, int64_t end) {
    for (int64_t bag = begin; bag < end; ++bag) {
      std::fill(dlogits + offsets[bag], dlogits + offsets[bag + 1], 0.0F);
      if (!(loss[bag / 2] > 0)) continue;
      const int64_t used = std::min(top, offsets[bag + 1] - offsets[bag]);
      const float share = dloss[bag / 2] / static_cast<float>(used);
      const int64_t* indices = selected + bag * top;  // (top)
      for (int64_t i = 0; i < used; ++i) dlogits[offsets[bag] + indices[i]] = bag % 2 == 0 ? -share : share;
    }
  });
}

}  // namespace

template <>
const RankLoss<float>& rank_loss<float>(Device device) {
  static constexpr RankLoss<float> table{forward, backward};
  return device == Device::cpu ? table : device_table<RankLoss<float>>(device, "rank_loss");
}

}  // namespace mt
