#pragma once
// Optimizers with their state, over a parameter arena.

#include <string_view>

#include "autograd/arena.h"
#include "kernels/optimizer/optimizer.h"
#include "tensor/io/named_tensors.h"

namespace mt {

/// SGD or Adam over all parameters of an arena. The state can be put into a checkpoint and taken out again.
class ArenaOptimizer {
 public:
  static ArenaOptimizer sgd(const ParameterArena& arena, double momentum, double weight_decay);
  static ArenaOptimizer adam(const ParameterArena& arena, double weight_decay);

  /// One update with the arena's gradients, which are then set to zero. Throws Error when a gradient is NaN
  /// or infinite.
  void step(double learning_rate);
  int64_t steps() const { return steps_; }

  /// On the cpu, the same whatever the arena's device: "optimizer.*" tensors (flat, arena order) and the
  /// parameters themselves ("parameters").
  NamedTensors checkpoint() const;
  void restore(const NamedTensors& tensors);

 private:
  ArenaOptimizer(const ParameterArena& arena, bool is_adam, double momentum, double weight_decay);

  const ParameterArena& arena_;
  bool is_adam_;
  double momentum_;
  double weight_decay_;
  int64_t steps_ = 0;
  Tensor first_;   // velocity, or Adam's first moment
  Tensor second_;  // Adam only
};

/// The tensor called `name`; throws Error when it is missing.
const Tensor& find_tensor(const NamedTensors& tensors, std::string_view name);

}  // namespace mt
