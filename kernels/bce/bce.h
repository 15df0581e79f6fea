#pragma once
// Binary cross-entropy with logits. Math, error bound and cost: bce.md.

#include <cstdint>

#include "kernels/common/stream.h"
#include "tensor/device.h"

namespace mt {

/// loss(x, y) = pos_weight · y · log(1 + e^−x) + (1 − y) · log(1 + e^x), for targets y in [0, 1] and any
/// finite x. logits, targets: (n). NaN goes into its loss and gradient. dlogits may alias logits.
template <typename T>
struct Bce {
  /// losses: (n)
  void (*forward)(const T* logits, const T* targets, double pos_weight, T* losses, int64_t n, Stream stream);
  /// dlosses, dlogits: (n)
  void (*backward)(const T* logits, const T* targets, double pos_weight, const T* dlosses, T* dlogits,
                   int64_t n, Stream stream);
  /// loss: (1), the mean; n >= 1.
  void (*mean_forward)(const T* logits, const T* targets, double pos_weight, T* loss, int64_t n,
                       Stream stream);
  /// dloss: (1), dlogits: (n)
  void (*mean_backward)(const T* logits, const T* targets, double pos_weight, const T* dloss, T* dlogits,
                        int64_t n, Stream stream);
  /// mean_forward and mean_backward in one pass over the logits, the same bits as the two. dloss: (1), or
  /// null while it is not known: dlogits then are the slopes of the single losses, for mean_slopes_backward.
  void (*mean_with_gradient)(const T* logits, const T* targets, double pos_weight, const T* dloss, T* loss,
                             T* dlogits, int64_t n, Stream stream);
  /// dlogits = dloss / n · slopes, the same bits as mean_backward. slopes, dlogits: (n), may be one.
  void (*mean_slopes_backward)(const T* slopes, const T* dloss, T* dlogits, int64_t n, Stream stream);
};

template <typename T>
const Bce<T>& bce(Device device);
template <>
const Bce<float>& bce<float>(Device device);
template <>
const Bce<double>& bce<double>(Device device);

}  // namespace mt
