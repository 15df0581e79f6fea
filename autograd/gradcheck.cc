#include "autograd/gradcheck.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "tensor/check.h"

namespace mt {
namespace {

/// Row-major (outputs, elements of one input).
using Jacobian = std::vector<double>;

std::vector<double> evaluate(const CheckedFunction& function, const std::vector<Variable>& inputs) {
  NoGradGuard no_tape;
  const Tensor y = function(inputs).value();
  const auto values = y.span<double>();
  return {values.begin(), values.end()};
}

/// One row per output element, from a backward pass with a one-hot gradient.
std::vector<Jacobian> jacobian_by_rules(const CheckedFunction& function, const std::vector<Variable>& inputs,
                                        int64_t outputs) {
  std::vector<Jacobian> jacobians(inputs.size());
  for (int64_t o = 0; o < outputs; ++o) {
    for (const Variable& input : inputs) input.zero_grad();
    const Variable y = function(inputs);
    std::vector<double> one_hot(static_cast<std::size_t>(outputs), 0.0);
    one_hot[static_cast<std::size_t>(o)] = 1;
    backward(y, Tensor::of(one_hot, y.shape()));
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      if (!inputs[i].requires_grad()) continue;
      if (inputs[i].grad().defined()) {
        const auto row = inputs[i].grad().span<double>();
        jacobians[i].insert(jacobians[i].end(), row.begin(), row.end());
      } else {
        jacobians[i].resize(jacobians[i].size() + static_cast<std::size_t>(inputs[i].numel()), 0.0);
      }
    }
  }
  for (const Variable& input : inputs) input.zero_grad();
  return jacobians;
}

Jacobian jacobian_by_differences(const CheckedFunction& function, const std::vector<Variable>& inputs,
                                 std::size_t which, int64_t outputs, double step) {
  const auto x = inputs[which].value().span<double>();
  Jacobian jacobian(static_cast<std::size_t>(outputs) * x.size());
  const auto value_at = [&](std::size_t element, double moved) {
    const double before = x[element];
    x[element] = before + moved;
    const auto values = evaluate(function, inputs);
    x[element] = before;
    return values;
  };
  for (std::size_t e = 0; e < x.size(); ++e) {
    const auto plus = value_at(e, step);
    const auto minus = value_at(e, -step);
    const auto plus2 = value_at(e, 2 * step);
    const auto minus2 = value_at(e, -2 * step);
    for (std::size_t o = 0; o < plus.size(); ++o) {
      jacobian[o * x.size() + e] = (8 * (plus[o] - minus[o]) - (plus2[o] - minus2[o])) / (12 * step);
    }
  }
  return jacobian;
}

}  // namespace

GradcheckResult gradcheck(const CheckedFunction& function, const std::vector<Variable>& inputs,
                          const GradcheckOptions& options) {
  for (const Variable& input : inputs) {
    check(!input.requires_grad() || input.dtype() == DType::f64,
          "gradcheck: inputs that require a gradient must be f64, not {}", name_of(input.dtype()));
  }
  GradcheckResult result;
  const Variable y = function(inputs);
  for (const auto& node : nodes_behind(y)) result.rules.insert(node->rule);
  const int64_t outputs = y.numel();
  const auto by_rules = jacobian_by_rules(function, inputs, outputs);
  double worst_ratio = -1;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (!inputs[i].requires_grad()) continue;
    const Jacobian by_differences = jacobian_by_differences(function, inputs, i, outputs, options.step);
    double scale = 1;
    for (const double entry : by_differences) scale = std::max(scale, std::abs(entry));
    const auto elements = static_cast<std::size_t>(inputs[i].numel());
    for (std::size_t k = 0; k < by_differences.size(); ++k) {
      const double error = std::abs(by_rules[i][k] - by_differences[k]);
      const bool good = error <= options.tolerance * scale;  // false for NaN
      result.ok = result.ok && good;
      if (error / scale > worst_ratio || std::isnan(error)) {
        worst_ratio = std::isnan(error) ? HUGE_VAL : error / scale;
        result.worst_error = error;
        result.message =
            fmt::format("input {} element {}, output element {}: the rule says {}, differences say {}", i,
                        k % elements, k / elements, by_rules[i][k], by_differences[k]);
      }
    }
  }
  return result;
}

}  // namespace mt
