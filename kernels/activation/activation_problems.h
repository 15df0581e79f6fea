#pragma once
// What the activations are tested with.

#include "kernels/activation/activation.h"
#include "kernels/common/problem.h"

namespace mt {

inline double sigmoid_in_double(double x) {
  return 1 / (1 + std::exp(-x));
}

/// 2√(2/π)(x + 0.044715 x³), the argument of gelu_tanh's sigmoid.
inline double gelu_inner(double x) {
  return 1.5957691216057308 * (x + 0.044715 * x * x * x);
}

/// Error bounds of activation.md: in roundoffs on |y| …
inline double activation_roundoffs(ActivationKind kind, double x) {
  switch (kind) {
    case ActivationKind::relu:
      return 0;
    case ActivationKind::tanh:
      return 8;
    case ActivationKind::sigmoid:
      return 7;
    case ActivationKind::gelu_erf:
      return 15 + (x < 0 ? 1.5 * x * x : 0);
    case ActivationKind::gelu_tanh:
      return 8 + 5 * std::abs(gelu_inner(x)) * sigmoid_in_double(-gelu_inner(x));
    case ActivationKind::silu:
      return 9;
  }
  return 0;
}

/// … and in roundoffs, absolutely, on the slope at s (y or x), as the sum over its terms.
inline double slope_roundoffs(ActivationKind kind, double s) {
  switch (kind) {
    case ActivationKind::relu:
      return 0;
    case ActivationKind::tanh:
      return 4 * (1 + std::abs(s)) * (1 - std::abs(s));
    case ActivationKind::sigmoid:
      return 4 * s * (1 - s);
    case ActivationKind::gelu_erf: {
      const double phi = 0.5 * std::erfc(-s / std::sqrt(2.0));
      const double density = std::exp(-0.5 * s * s) * 0.3989422804014327;
      return (18 + (s < 0 ? 1.5 * s * s : 0)) * phi + (10 + 1.5 * s * s) * std::abs(s) * density;
    }
    case ActivationKind::gelu_tanh: {
      const double slope = 1.5957691216057308 * (1 + 3 * 0.044715 * s * s);
      const double p = sigmoid_in_double(gelu_inner(s));
      const double amplified = 5 * std::abs(gelu_inner(s));
      return (11 + amplified * (1 - p)) * p + (24 + amplified) * std::abs(s) * slope * p * (1 - p);
    }
    case ActivationKind::silu: {
      const double p = sigmoid_in_double(s);
      return 11 * p + 20 * std::abs(s) * p * (1 - p);
    }
  }
  return 0;
}

inline void add_activation(ProblemSet<Activation>& set, const std::string& name, ActivationKind kind,
                           const std::vector<float>& x, bool large = false) {
  const auto n = static_cast<int64_t>(x.size());
  Problem<Activation> forward = problem<Activation>(
      name + " forward", {{x}}, {{numbers(n)}},
      [=]<typename T>(const Activation<T>& op, const Arguments<T>& in, const Arguments<T>& out) {
        op.forward(kind, in[0], out[0], n, nullptr);
      });
  forward.bound = [=](const Answer& a, std::size_t, std::size_t i) {
    return kUnitRoundoff * activation_roundoffs(kind, a.inputs[0][i]) * std::abs(a.outputs[0][i]) +
           kSmallestNormal * (1 + std::abs(a.inputs[0][i]));
  };
  forward.in_place = {{0, 0}};
  forward.large = large;
  // Where the backward reads y it gets x all the same: any numbers do, but those of tanh and sigmoid that y cannot be.
  std::vector<float> saved = x;
  if (activation_backward_reads_output(kind) && kind != ActivationKind::relu) {
    for (float& value : saved)
      value = std::abs(value) <= 1 || std::isnan(value) ? std::abs(value) : 1 / std::abs(value);
  }
  Problem<Activation> backward = problem<Activation>(
      name + " backward", {{saved}, {problem_values(n, 2)}}, {{numbers(n)}},
      [=]<typename T>(const Activation<T>& op, const Arguments<T>& in, const Arguments<T>& out) {
        op.backward(kind, in[0], in[1], out[0], n, nullptr);
      });
  backward.bound = [=](const Answer& a, std::size_t, std::size_t i) {
    const double s = a.inputs[0][i];
    return kUnitRoundoff * (std::abs(a.inputs[1][i]) * slope_roundoffs(kind, s) + std::abs(a.outputs[0][i])) +
           kSmallestNormal * (1 + std::abs(s * s * s));
  };
  backward.in_place = {{0, 0}, {0, 1}};
  backward.large = large;
  set.problems.push_back(forward);
  set.problems.push_back(backward);
}

inline ProblemSet<Activation> activation_problems() {
  ProblemSet<Activation> set;
  const std::pair<const char*, ActivationKind> kinds[] = {
      {"relu", ActivationKind::relu},           {"tanh", ActivationKind::tanh},
      {"sigmoid", ActivationKind::sigmoid},     {"gelu_erf", ActivationKind::gelu_erf},
      {"gelu_tanh", ActivationKind::gelu_tanh}, {"silu", ActivationKind::silu}};
  for (const auto& [name, kind] : kinds) {
    // Around 16 lanes, a CUDA block of 1,024 with a tail, empty; from nearly linear to deep in the tails.
    for (const auto& [n, range] :
         {std::pair<int64_t, float>{0, 1}, {1, 1}, {15, 1e-3F}, {16, 1}, {1000, 6}, {1027, 30}}) {
      add_activation(set, std::string(name) + " of " + std::to_string(n), kind,
                     problem_values(n, 1, -range, range));
    }
    std::vector<float> limits{-200, 0, -0.0F, 1e-38F, 200, NAN};
    // The others make NaN or 0 of −∞ · 0, as the formula is written.
    if (activation_backward_reads_output(kind)) limits.insert(limits.end(), {INFINITY, -INFINITY});
    add_activation(set, std::string(name) + " at its limits", kind, limits);
    add_activation(set, std::string(name) + " of 50001", kind, problem_values(50001, 3, -5, 5),
                   /*large=*/true);
    set.derivatives.push_back(
        {name, as_doubles(problem_values(40, 4, -4, 4)),
         [kind = kind](const Activation<double>& op, const std::vector<double>& x) {
           std::vector<double> y(x.size());
           op.forward(kind, x.data(), y.data(), std::ssize(x), nullptr);
           return y;
         },
         [kind = kind](const Activation<double>& op, const auto& x, const auto& y, const auto& dy) {
           std::vector<double> dx(x.size());
           const auto& saved = activation_backward_reads_output(kind) ? y : x;
           op.backward(kind, saved.data(), dy.data(), dx.data(), std::ssize(x), nullptr);
           return dx;
         }});
  }
  return set;
}

}  // namespace mt
