#pragma once
// Patch-wise ranking hinge between pairs of bags. Math, ties and cost: rank_loss.md.

#include <cstdint>

#include "kernels/common/stream.h"
#include "tensor/device.h"

namespace mt {

/// Pair p has the positive bag logits[offsets[2p] … offsets[2p+1]) and the negative bag logits[offsets[2p+1]
/// … offsets[2p+2]). offsets: (2·pairs + 1), ascending from 0, in host memory on every device; every bag has
/// at least one instance; top >= 1.
template <typename T>
struct RankLoss {
  /// loss[p] = max(0, 1 − mean of the `top` largest logits of the positive bag + the same mean of the
  /// negative bag); a bag smaller than `top` uses all it has. selected: (2·pairs, top), the chosen instances'
  /// indices inside their bag, by descending logit, ties by smaller index, −1 where there are none. NaN is an
  /// Error that names the row.
  void (*forward)(const T* logits, const int64_t* offsets, int64_t pairs, int64_t top, T* loss,
                  int64_t* selected, Stream stream);
  /// loss, dloss: (pairs), selected as forward left it. dlogits: (offsets[2·pairs]), written in full. At loss
  /// 0 the gradient is 0.
  void (*backward)(const T* loss, const T* dloss, const int64_t* offsets, const int64_t* selected,
                   int64_t pairs, int64_t top, T* dlogits, Stream stream);
};

template <typename T>
const RankLoss<T>& rank_loss(Device device);
template <>
const RankLoss<float>& rank_loss<float>(Device device);
template <>
const RankLoss<double>& rank_loss<double>(Device device);

}  // namespace mt
