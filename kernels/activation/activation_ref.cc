#include "kernels/activation/activation.h"

#include <cmath>
#include <numbers>

#include "tensor/check.h"

namespace mt {
namespace {

constexpr double kGeluTanhCubic = 0.044715;
const double kSqrtTwoOverPi = std::sqrt(2 / std::numbers::pi);

double sigmoid(double x) {
  return x >= 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x));
}

double value(ActivationKind kind, double x) {
  switch (kind) {
    case ActivationKind::relu:
      return x > 0 || std::isnan(x) ? x : 0;
    case ActivationKind::tanh:
      return std::tanh(x);
    case ActivationKind::sigmoid:
      return sigmoid(x);
    case ActivationKind::gelu_erf:
      return 0.5 * x * std::erfc(-x / std::numbers::sqrt2);
    case ActivationKind::gelu_tanh:
      return x * sigmoid(2 * kSqrtTwoOverPi * (x + kGeluTanhCubic * x * x * x));
    case ActivationKind::silu:
      return x * sigmoid(x);
  }
  fail("activation: {} is no activation", static_cast<int>(kind));
}

// The derivative from y (relu, tanh, sigmoid) or from x (the others).
double slope(ActivationKind kind, double s) {
  switch (kind) {
    case ActivationKind::relu:
      return s > 0 ? 1 : (std::isnan(s) ? s : 0);
    case ActivationKind::tanh:
      return 1 - s * s;
    case ActivationKind::sigmoid:
      return s * (1 - s);
    case ActivationKind::gelu_erf:
      return 0.5 * std::erfc(-s / std::numbers::sqrt2) +
             s * std::exp(-0.5 * s * s) / std::sqrt(2 * std::numbers::pi);
    case ActivationKind::gelu_tanh: {
      const double p = sigmoid(2 * kSqrtTwoOverPi * (s + kGeluTanhCubic * s * s * s));
      return p + 2 * s * p * (1 - p) * kSqrtTwoOverPi * (1 + 3 * kGeluTanhCubic * s * s);
    }
    case ActivationKind::silu: {
      const double p = sigmoid(s);
      return p + s * p * (1 - p);
    }
  }
  fail("activation: {} is no activation", static_cast<int>(kind));
}

void forward(ActivationKind kind, const double* x, double* y, int64_t n, Stream) {
  for (int64_t i = 0; i < n; ++i) y[i] = value(kind, x[i]);
}

void backward(ActivationKind kind, const double* saved, const double* dy, double* dx, int64_t n, Stream) {
  for (int64_t i = 0; i < n; ++i) dx[i] = dy[i] * slope(kind, saved[i]);
}

}  // namespace

template <>
const Activation<double>& activation<double>(Device device) {
  check(device == Device::cpu, "activation: the double reference runs on the cpu only, not on {}",
        name_of(device));
  static constexpr Activation<double> table{forward, backward};
  return table;
}

}  // namespace mt
