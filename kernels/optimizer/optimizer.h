#pragma once
// Optimizer steps over one flat arena of parameters, and the gradient's norm. Formulas and cost:
// optimizer.md.

#include <cstdint>
#include <string>

#include "kernels/common/stream.h"
#include "tensor/device.h"

namespace mt {

/// torch.optim.SGD's update.
struct SgdRule {
  double learning_rate = 0.01;
  double momentum = 0;
  double dampening = 0;
  double weight_decay = 0;
  bool nesterov = false;  // needs momentum > 0 and dampening 0
};

/// torch.optim.Adam's update, or AdamW's where `decoupled`.
struct AdamRule {
  double learning_rate = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0;
  bool decoupled =
      false;  // the weight decay shrinks the parameter (AdamW), instead of being added to the gradient
  bool amsgrad = false;
};

/// All arrays: (n), n >= 0, no aliasing. `step` counts from 1. The gradient is multiplied by gradient_scale
/// first.
template <typename T>
struct Optimizer {
  /// velocity: (n), or null when momentum is 0. At step 1 it is written, not read.
  void (*sgd)(T* parameters, const T* gradients, T* velocity, int64_t n, int64_t step, double gradient_scale,
              const SgdRule& rule, Stream stream);
  /// first_moment, second_moment: (n), zero before step 1; largest_second_moment: (n), zero before step 1,
  /// null without amsgrad.
  void (*adam)(T* parameters, const T* gradients, T* first_moment, T* second_moment, T* largest_second_moment,
               int64_t n, int64_t step, double gradient_scale, const AdamRule& rule, Stream stream);
  /// Throws Error(error) when any element is infinite or NaN: on cuda, where this does not wait, from the
  /// next copy to the host or synchronize().
  void (*require_finite)(const T* gradients, int64_t n, const std::string& error, Stream stream);
};

template <typename T>
const Optimizer<T>& optimizer(Device device);
template <>
const Optimizer<float>& optimizer<float>(Device device);
template <>
const Optimizer<double>& optimizer<double>(Device device);

}  // namespace mt
