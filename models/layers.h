#pragma once
// The layers that networks are built of. Each registers its parameters with a Module under PyTorch's names
// and keeps handles.

#include <string>

#include "autograd/ops.h"
#include "models/kinds.h"
#include "models/module.h"

namespace mt {

/// NAME.weight (O,I), NAME.bias (O)
struct Linear {
  Variable weight;
  Variable bias;

  Linear() = default;
  Linear(Module& module, const std::string& name, int64_t in, int64_t out);
  /// x (N,I) → (N,O)
  Variable forward(const Variable& x, GemmActivation activation = GemmActivation::none) const {
    return ops::linear(x, weight, bias, activation);
  }
};

/// NAME.weight (K,R,R,C), without bias
struct Conv {
  Variable weight;
  int64_t stride = 1;
  int64_t padding = 0;

  Conv() = default;
  Conv(Module& module, const std::string& name, int64_t in, int64_t out, int64_t window, int64_t conv_stride);
  /// x (N,H,W,C) → (N,P,Q,K); "same" padding of window / 2.
  Variable forward(const Variable& x) const { return ops::conv2d(x, weight, stride, padding); }
  /// pixels (N,H,W,3) of u8 → (N,P,Q,K)
  Variable forward(const Tensor& pixels, const ImageScaling& scaling) const {
    return ops::conv2d_pixels(pixels, scaling, weight, stride, padding);
  }
};

const char* name_of(NormKind kind);

/// A norm with optional residual and ReLU in the same pass.
struct Norm2d {
  NormKind kind = NormKind::instance;
  Variable gamma;
  Variable beta;
  Tensor running_mean;
  Tensor running_var;
  Tensor batches_tracked;

  Norm2d() = default;
  Norm2d(Module& module, const std::string& name, NormKind norm_kind, int64_t channels);
  /// x, residual (N,H,W,C); no residual when undefined.
  Variable forward(const Variable& x, BatchStatistics statistics, bool relu,
                   const Variable& residual = {}) const;
  /// The mean of forward() over each image's pixels: (N,H,W,C) → (N,C), the same bits as pooling it.
  Variable forward_averaged(const Variable& x, BatchStatistics statistics, bool relu,
                            const Variable& residual = {}) const;

 private:
  ops::NormOptions options(bool relu, const Variable& residual) const;
};

}  // namespace mt
