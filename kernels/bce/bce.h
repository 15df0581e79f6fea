#pragma once
// Binary cross-entropy with logits. Math, error bound and cost: bce.md.

#include <cstdint>

#include "kernels/common/stream.h"
#include "tensor/device.h"

namespace mt {

/// loss(x, y) = pos_weight · y · log(1 + e^−x) + (1 − y) · log(1 + e^x), for targets y in [0, 1] and any
/// finite x. logits, targets: (n). NaN goes into the mean and into its slope.
template <typename T>
struct Bce {
  /// loss: (1), the mean; n >= 1.
  void (*mean_forward)(const T* logits, const T* targets, double pos_weight, T* loss, int64_t n,
                       Stream stream);
  /// The same, and in the same pass the slopes of the single losses, (n), which may be the logits' own array.
  void (*mean_with_slopes)(const T* logits, const T* targets, double pos_weight, T* loss, T* slopes,
                           int64_t n, Stream stream);
  /// dlogits = dloss / n · slopes. dloss: (1); slopes, dlogits: (n), may be one.
  void (*mean_slopes_backward)(const T* slopes, const T* dloss, T* dlogits, int64_t n, Stream stream);
};

template <typename T>
const Bce<T>& bce(Device device);
template <>
const Bce<float>& bce<float>(Device device);
template <>
const Bce<double>& bce<double>(Device device);

}  // namespace mt
