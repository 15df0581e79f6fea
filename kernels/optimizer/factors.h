#pragma once
// What the cpu's and the GPU's optimizer steps take from a rule: computed in double, rounded once. Included
// by .cu files, so it stays free of heavy headers.

#include <cmath>

#include "kernels/optimizer/optimizer.h"

namespace mt {

/// A rule's factors at one step.
struct SgdFactors {
  float gradient_scale;
  float weight_decay;
  float momentum;
  float intake;  // 1 − dampening; 1 at the first step
  float learning_rate;
  bool keep_velocity;  // false at the first step: there is none yet
  bool nesterov;
};

struct AdamFactors {
  float gradient_scale;
  float added_decay;  // weight decay that goes into the gradient
  float shrink;       // what the parameter is multiplied by: 1 unless the decay is decoupled
  float beta1;
  float one_minus_beta1;
  float beta2;
  float one_minus_beta2;
  float spread_scale;  // 1 / √(1 − β2^step)
  float epsilon;
  float step_size;  // learning rate / (1 − β1^step)
};

/// null when the rule can be followed.
inline const char* error_in(const SgdRule& rule, bool has_velocity) {
  if (rule.nesterov && !(rule.momentum > 0 && rule.dampening == 0))
    return "optimizer: Nesterov momentum needs a momentum above 0 and no dampening";
  if (rule.momentum != 0 && !has_velocity) return "optimizer: momentum needs room for the velocity";
  return nullptr;
}

inline const char* error_in(const AdamRule& rule, bool has_largest) {
  if (rule.amsgrad && !has_largest) return "optimizer: amsgrad needs room for the largest second moment";
  return nullptr;
}

inline SgdFactors factors_at(const SgdRule& rule, int64_t step, double gradient_scale) {
  return {.gradient_scale = static_cast<float>(gradient_scale),
          .weight_decay = static_cast<float>(rule.weight_decay),
          .momentum = static_cast<float>(rule.momentum),
          .intake = step == 1 ? 1.0F : static_cast<float>(1 - rule.dampening),
          .learning_rate = static_cast<float>(rule.learning_rate),
          .keep_velocity = step > 1,
          .nesterov = rule.nesterov};
}

inline AdamFactors factors_at(const AdamRule& rule, int64_t step, double gradient_scale) {
  const double correction1 = 1 - std::pow(rule.beta1, static_cast<double>(step));
  const double correction2 = 1 - std::pow(rule.beta2, static_cast<double>(step));
  const double shrink = rule.decoupled ? 1 - rule.learning_rate * rule.weight_decay : 1;
  return {.gradient_scale = static_cast<float>(gradient_scale),
          .added_decay = rule.decoupled ? 0.0F : static_cast<float>(rule.weight_decay),
          .shrink = static_cast<float>(shrink),
          .beta1 = static_cast<float>(rule.beta1),
          .one_minus_beta1 = static_cast<float>(1 - rule.beta1),
          .beta2 = static_cast<float>(rule.beta2),
          .one_minus_beta2 = static_cast<float>(1 - rule.beta2),
          .spread_scale = static_cast<float>(1 / std::sqrt(correction2)),
          .epsilon = static_cast<float>(rule.epsilon),
          .step_size = static_cast<float>(rule.learning_rate / correction1)};
}

}  // namespace mt
