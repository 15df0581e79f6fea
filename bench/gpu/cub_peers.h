#pragma once
// CUB's ways to do what mining and the ranking loss do by selection. Only on cuda, where nvcc brings CUB.

#include <cstdint>

#include "kernels/common/stream.h"

namespace mt::bench {

/// Sorts all n scores by radix and copies the two order statistics around `position` to `pair` (2), on the
/// device.
class CubSort {
 public:
  explicit CubSort(int64_t n);
  ~CubSort();
  CubSort(const CubSort&) = delete;
  CubSort& operator=(const CubSort&) = delete;
  void order_statistics(const float* scores, int64_t position, float* pair, Stream stream);

 private:
  struct State;
  State* state_;
};

/// Indices of the scores that are at least `value`, in order; `count` (1) on the device.
class CubSelect {
 public:
  explicit CubSelect(int64_t n);
  ~CubSelect();
  CubSelect(const CubSelect&) = delete;
  CubSelect& operator=(const CubSelect&) = delete;
  void at_least(const float* scores, float value, int64_t* indices, int64_t* count, Stream stream);

 private:
  struct State;
  State* state_;
};

/// Sorts each bag in descending order, then takes the means of its first `top` and the hinge of each pair.
class CubRank {
 public:
  /// offsets: (2 pairs + 1), host memory.
  CubRank(const int64_t* offsets, int64_t pairs);
  ~CubRank();
  CubRank(const CubRank&) = delete;
  CubRank& operator=(const CubRank&) = delete;
  void forward(const float* logits, int64_t top, float* loss, Stream stream);

 private:
  struct State;
  State* state_;
};

}  // namespace mt::bench
