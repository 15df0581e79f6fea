#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/gated_attention/gated_attention.h"
#include "tensor/check.h"

namespace mt {
namespace {

double sigmoid(double x) {
  return 1 / (1 + std::exp(-x));
}

void forward(const GatedAttentionShape& s, const double* gate_v, const double* gate_u, const double* w,
             const double* h, double* logits, double* attention, double* pooled, Stream) {
  double largest = -HUGE_VAL;
  for (int64_t n = 0; n < s.instances; ++n) {
    logits[n] = 0;
    for (int64_t k = 0; k < s.gate_width; ++k) {
      const int64_t at = n * s.gate_width + k;
      logits[n] += w[k] * std::tanh(gate_v[at]) * sigmoid(gate_u[at]);
    }
    check(!std::isnan(logits[n]), "gated_attention: the logit of instance {} is NaN", n);
    largest = std::max(largest, logits[n]);
  }
  double sum = 0;
  for (int64_t n = 0; n < s.instances; ++n) {
    attention[n] = std::exp(logits[n] - largest);
    sum += attention[n];
  }
  std::fill(pooled, pooled + s.width, 0.0);
  for (int64_t n = 0; n < s.instances; ++n) {
    attention[n] /= sum;
    for (int64_t l = 0; l < s.width; ++l) pooled[l] += attention[n] * h[n * s.width + l];
  }
}

void backward(const GatedAttentionShape& s, const double* gate_v, const double* gate_u, const double* w,
              const double* h, const double* attention, const double* dpooled, const double* dattention,
              double* dgate_v, double* dgate_u, double* dw, double* dh, Stream) {
  std::vector<double> dweight(static_cast<std::size_t>(s.instances));  // d loss / d attention
  double mean = 0;
  for (int64_t n = 0; n < s.instances; ++n) {
    double& d = dweight[static_cast<std::size_t>(n)];
    d = dattention == nullptr ? 0 : dattention[n];
    for (int64_t l = 0; l < s.width; ++l) d += dpooled[l] * h[n * s.width + l];
    mean += attention[n] * d;
  }
  std::fill(dw, dw + s.gate_width, 0.0);
  for (int64_t n = 0; n < s.instances; ++n) {
    const double dlogit = attention[n] * (dweight[static_cast<std::size_t>(n)] - mean);
    for (int64_t k = 0; k < s.gate_width; ++k) {
      const int64_t at = n * s.gate_width + k;
      const double t = std::tanh(gate_v[at]);
      const double g = sigmoid(gate_u[at]);
      dw[k] += dlogit * t * g;
      dgate_v[at] = dlogit * w[k] * g * (1 - t * t);
      dgate_u[at] = dlogit * w[k] * t * g * (1 - g);
    }
    if (dh == nullptr) continue;
    for (int64_t l = 0; l < s.width; ++l) dh[n * s.width + l] = attention[n] * dpooled[l];
  }
}

}  // namespace

template <>
const GatedAttention<double>& gated_attention<double>(Device device) {
  check(device == Device::cpu, "gated_attention: the double reference runs on the cpu only, not on {}",
        name_of(device));
  static constexpr GatedAttention<double> table{forward, backward};
  return table;
}

}  // namespace mt
