#include <algorithm>
#include <cmath>

#include "kernels/optimizer/optimizer.h"
#include "tensor/check.h"

namespace mt {
namespace {

void sgd(double* parameters, const double* gradients, double* velocity, int64_t n, int64_t step,
         double gradient_scale, const SgdRule& rule, Stream) {
  check(!rule.nesterov || (rule.momentum > 0 && rule.dampening == 0),
        "optimizer: Nesterov momentum needs a momentum above 0 and no dampening");
  for (int64_t i = 0; i < n; ++i) {
    double direction = gradient_scale * gradients[i] + rule.weight_decay * parameters[i];
    if (rule.momentum != 0) {
      velocity[i] = step == 1 ? direction : rule.momentum * velocity[i] + (1 - rule.dampening) * direction;
      direction = rule.nesterov ? direction + rule.momentum * velocity[i] : velocity[i];
    }
    parameters[i] -= rule.learning_rate * direction;
  }
}

void adam(double* parameters, const double* gradients, double* first_moment, double* second_moment,
          double* largest_second_moment, int64_t n, int64_t step, double gradient_scale, const AdamRule& rule,
          Stream) {
  const double correction1 = 1 - std::pow(rule.beta1, static_cast<double>(step));
  const double correction2 = 1 - std::pow(rule.beta2, static_cast<double>(step));
  for (int64_t i = 0; i < n; ++i) {
    double gradient = gradient_scale * gradients[i];
    if (rule.decoupled) {
      parameters[i] *= 1 - rule.learning_rate * rule.weight_decay;
    } else {
      gradient += rule.weight_decay * parameters[i];
    }
    first_moment[i] = rule.beta1 * first_moment[i] + (1 - rule.beta1) * gradient;
    second_moment[i] = rule.beta2 * second_moment[i] + (1 - rule.beta2) * gradient * gradient;
    double spread = second_moment[i];
    if (rule.amsgrad) {
      largest_second_moment[i] = std::max(largest_second_moment[i], second_moment[i]);
      spread = largest_second_moment[i];
    }
    const double denominator = std::sqrt(spread / correction2) + rule.epsilon;
    parameters[i] -= rule.learning_rate * (first_moment[i] / correction1) / denominator;
  }
}

void require_finite(const double* gradients, int64_t n, const std::string& error, Stream) {
  for (int64_t i = 0; i < n; ++i) check(std::isfinite(gradients[i]), "{}", error);
}

}  // namespace

template <>
const Optimizer<double>& optimizer<double>(Device device) {
  check(device == Device::cpu, "optimizer: the double reference runs on the cpu only, not on {}",
        name_of(device));
  static constexpr Optimizer<double> table{sgd, adam, require_finite};
  return table;
}

}  // namespace mt
