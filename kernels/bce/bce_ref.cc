#include <cmath>

#include "kernels/bce/bce.h"
#include "tensor/check.h"

namespace mt {
namespace {

/// log(1 + e^x) without overflow.
double softplus(double x) {
  return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x));
}
double sigmoid(double x) {
  return 1 / (1 + std::exp(-x));
}

double one_loss(double x, double y, double pos_weight) {
  return pos_weight * y * softplus(-x) + (1 - y) * softplus(x);
}

/// Derivative of one_loss to x.
double one_slope(double x, double y, double pos_weight) {
  return (1 - y) * sigmoid(x) - pos_weight * y * sigmoid(-x);
}

void mean_with_slopes(const double* logits, const double* targets, double pos_weight, double* loss,
                      double* slopes, int64_t n, Stream) {
  check(n >= 1, "bce: the mean of no elements");
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) {
    sum += one_loss(logits[i], targets[i], pos_weight);
    if (slopes != nullptr) slopes[i] = one_slope(logits[i], targets[i], pos_weight);
  }
  *loss = sum / static_cast<double>(n);
}

void mean_forward(const double* logits, const double* targets, double pos_weight, double* loss, int64_t n,
                  Stream stream) {
  mean_with_slopes(logits, targets, pos_weight, loss, nullptr, n, stream);
}

void mean_slopes_backward(const double* slopes, const double* dloss, double* dlogits, int64_t n, Stream) {
  for (int64_t i = 0; i < n; ++i) dlogits[i] = *dloss / static_cast<double>(n) * slopes[i];
}

}  // namespace

template <>
const Bce<double>& bce<double>(Device device) {
  check(device == Device::cpu, "bce: the double reference runs on the cpu only, not on {}", name_of(device));
  static constexpr Bce<double> table{mean_forward, mean_with_slopes, mean_slopes_backward};
  return table;
}

}  // namespace mt
