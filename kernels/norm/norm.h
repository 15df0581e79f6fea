#pragma once
// Instance and batch normalisation of NHWC activations, fused with an optional residual and ReLU. Math:
// norm.md.

#include <cstdint>

#include "kernels/common/stream.h"
#include "tensor/device.h"

namespace mt {

/// y = act((x − mean) · inv_std · gamma + beta + residual), act = ReLU when `relu`, else the identity. Shapes
/// everywhere: x, y, dy, dx, residual, dresidual (N,P,C) with P = H·W pixels; gamma, beta, dgamma, dbeta,
/// running_* (C). gamma, beta, residual and every d… output may be nullptr: then 1, 0, 0, and not computed. P
/// >= 1, C >= 1, N >= 0. inv_std = 1 / sqrt(variance + eps); the variance divides by the count (biased). y
/// may alias x or residual; dx and dresidual may alias dy each, not each other. The mask of the ReLU is y >
/// 0, so `y` is read only when relu (may be nullptr otherwise). dresidual is dy behind that mask. dgamma and
/// dbeta are overwritten: per (n,c) sums are added image by image within shards of 8 images, then shard by
/// shard. NaN in a channel makes that channel NaN.
template <typename T>
struct Norm {
  /// Statistics per (image, channel); mean, inv_std (N,C) are outputs, kept for the backward.
  void (*instance_forward)(const T* x, const T* gamma, const T* beta, const T* residual, bool relu, T* y,
                           T* mean, T* inv_std, int64_t n, int64_t pixels, int64_t c, T eps, Stream stream);
  void (*instance_backward)(const T* x, const T* y, const T* dy, const T* gamma, const T* mean,
                            const T* inv_std, bool relu, T* dx, T* dresidual, T* dgamma, T* dbeta, int64_t n,
                            int64_t pixels, int64_t c, Stream stream);
  /// Statistics per channel over the batch (N·P >= 2 when running_var is given); mean, inv_std (C) are
  /// outputs. Running statistics (nullptr: none) become (1 − momentum) · old + momentum · new, the variance
  /// there divided by N·P − 1.
  void (*batch_forward_train)(const T* x, const T* gamma, const T* beta, const T* residual, bool relu, T* y,
                              T* mean, T* inv_std, T* running_mean, T* running_var, T momentum, int64_t n,
                              int64_t pixels, int64_t c, T eps, Stream stream);
  /// Frozen statistics.
  void (*batch_forward_eval)(const T* x, const T* gamma, const T* beta, const T* residual, bool relu,
                             const T* running_mean, const T* running_var, T* y, int64_t n, int64_t pixels,
                             int64_t c, T eps, Stream stream);
  void (*batch_backward_train)(const T* x, const T* y, const T* dy, const T* gamma, const T* mean,
                               const T* inv_std, bool relu, T* dx, T* dresidual, T* dgamma, T* dbeta,
                               int64_t n, int64_t pixels, int64_t c, Stream stream);
  /// The statistics are constants here: dx = dy · gamma · inv_std.
  void (*batch_backward_eval)(const T* x, const T* y, const T* dy, const T* gamma, const T* running_mean,
                              const T* running_var, bool relu, T* dx, T* dresidual, T* dgamma, T* dbeta,
                              int64_t n, int64_t pixels, int64_t c, T eps, Stream stream);
  /// average (N,C): the mean of y over an image's pixels, for a y that nobody else reads and that is never
  /// written. The same bits as instance_forward (batch_forward_eval), then global_average_forward of
  /// kernels/pool of the same version. average aliases nothing.
  void (*instance_average)(const T* x, const T* gamma, const T* beta, const T* residual, bool relu,
                           T* average, int64_t n, int64_t pixels, int64_t c, T eps, Stream stream);
  void (*batch_average_eval)(const T* x, const T* gamma, const T* beta, const T* residual, bool relu,
                             const T* running_mean, const T* running_var, T* average, int64_t n,
                             int64_t pixels, int64_t c, T eps, Stream stream);
};

/// The table of a backend. float: cpu, cuda, simt. double: the reference, on the cpu only (gradcheck runs on
/// it).
template <typename T>
const Norm<T>& norm(Device device);
template <>
const Norm<float>& norm<float>(Device device);
template <>
const Norm<double>& norm<double>(Device device);

}  // namespace mt
