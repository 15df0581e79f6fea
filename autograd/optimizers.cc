#include "autograd/optimizers.h"

#include <algorithm>

#include "autograd/arithmetic.h"
#include "tensor/check.h"

namespace mt {
namespace {

void restore_into(const Tensor& target, const Tensor& source) {
  check(target.shape() == source.shape() && target.dtype() == source.dtype(),
        "checkpoint: {} values where {} are expected", source.numel(), target.numel());
  copy_into(target, source);
}

/// The checkpoint must not change when training goes on.
Tensor snapshot(const Tensor& tensor) {
  return copied_to(tensor, Device::cpu);
}

}  // namespace

const Tensor& find_tensor(const NamedTensors& tensors, std::string_view name) {
  const auto found =
      std::find_if(tensors.begin(), tensors.end(), [&](const auto& entry) { return entry.first == name; });
  check(found != tensors.end(), "checkpoint: tensor {} is missing", name);
  return found->second;
}

ArenaOptimizer::ArenaOptimizer(const ParameterArena& arena, bool is_adam, double momentum,
                               double weight_decay)
    : arena_(arena),
      is_adam_(is_adam),
      momentum_(momentum),
      weight_decay_(weight_decay),
      first_(arena.make_state()) {
  if (is_adam) second_ = arena.make_state();
}

ArenaOptimizer ArenaOptimizer::sgd(const ParameterArena& arena, double momentum, double weight_decay) {
  return {arena, false, momentum, weight_decay};
}

ArenaOptimizer ArenaOptimizer::adam(const ParameterArena& arena, double weight_decay) {
  return {arena, true, 0, weight_decay};
}

void ArenaOptimizer::step(double learning_rate) {
  const Optimizer<float>& kernels = optimizer<float>(arena_.values().device());
  const int64_t n = arena_.size();
  float* values = arena_.values().data<float>();
  const float* grads = arena_.grads().data<float>();
  kernels.require_finite(
      grads, n,
      fmt::format("training diverged: a gradient is NaN or infinite at step {}; use a smaller learning rate",
                  steps_ + 1),
      nullptr);
  ++steps_;
  if (is_adam_) {
    AdamRule rule;
    rule.learning_rate = learning_rate;
    rule.weight_decay = weight_decay_;
    kernels.adam(values, grads, first_.data<float>(), second_.data<float>(), nullptr, n, steps_, 1.0, rule,
                 nullptr);
    arena_.values_changed("adam step");
  } else {
    SgdRule rule;
    rule.learning_rate = learning_rate;
    rule.momentum = momentum_;
    rule.weight_decay = weight_decay_;
    kernels.sgd(values, grads, momentum_ != 0 ? first_.data<float>() : nullptr, n, steps_, 1.0, rule,
                nullptr);
    arena_.values_changed("sgd step");
  }
  arena_.zero_grad();
}

NamedTensors ArenaOptimizer::checkpoint() const {
  const std::vector<int64_t> steps{steps_};
  NamedTensors tensors{{"parameters", snapshot(arena_.values())},
                       {"optimizer.first", snapshot(first_)},
                       {"optimizer.steps", Tensor::of(steps, {1})}};
  if (is_adam_) tensors.emplace_back("optimizer.second", snapshot(second_));
  return tensors;
}

void ArenaOptimizer::restore(const NamedTensors& tensors) {
  restore_into(arena_.values(), find_tensor(tensors, "parameters"));
  restore_into(first_, find_tensor(tensors, "optimizer.first"));
  if (is_adam_) restore_into(second_, find_tensor(tensors, "optimizer.second"));
  steps_ = find_tensor(tensors, "optimizer.steps").item<int64_t>();
  arena_.values_changed("checkpoint");
}

}  // namespace mt
