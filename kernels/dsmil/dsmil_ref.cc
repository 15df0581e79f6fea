#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/dsmil/dsmil.h"
#include "tensor/check.h"

namespace mt {
namespace {

void critical_instances(const double* logits, int64_t* critical, int64_t instances, int64_t classes, Stream) {
  check(instances >= 1, "dsmil: the bag is empty");
  for (int64_t n = 0; n < instances; ++n) {
    for (int64_t c = 0; c < classes; ++c) {
      check(!std::isnan(logits[n * classes + c]), "dsmil: the logit of instance {} and class {} is NaN", n,
            c);
    }
  }
  for (int64_t c = 0; c < classes; ++c) {
    critical[c] = 0;
    for (int64_t n = 1; n < instances; ++n) {
      if (logits[n * classes + c] > logits[critical[c] * classes + c]) critical[c] = n;
    }
  }
}

double dot(const double* a, const double* b, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

void forward(const DsmilShape& s, const double* q, const int64_t* critical, const double* values,
             double* attention, double* pooled, Stream) {
  const int64_t classes = s.classes;
  for (int64_t c = 0; c < classes; ++c) {
    const double* query = q + critical[c] * s.query_width;  // (Q)
    double largest = -HUGE_VAL;
    for (int64_t n = 0; n < s.instances; ++n) {
      const double logit = s.scale * dot(q + n * s.query_width, query, s.query_width);
      check(!std::isnan(logit), "dsmil: the attention logit of instance {} and class {} is NaN", n, c);
      attention[n * classes + c] = logit;
      largest = std::max(largest, logit);
    }
    double sum = 0;
    for (int64_t n = 0; n < s.instances; ++n) {
      attention[n * classes + c] = std::exp(attention[n * classes + c] - largest);
      sum += attention[n * classes + c];
    }
    double* out = pooled + c * s.value_width;  // (V)
    std::fill(out, out + s.value_width, 0.0);
    for (int64_t n = 0; n < s.instances; ++n) {
      attention[n * classes + c] /= sum;
      for (int64_t v = 0; v < s.value_width; ++v)
        out[v] += attention[n * classes + c] * values[n * s.value_width + v];
    }
  }
}

void backward(const DsmilShape& s, const double* q, const int64_t* critical, const double* values,
              const double* attention, const double* dpooled, const double* dattention, double* dq,
              double* dvalues, Stream) {
  const int64_t classes = s.classes;
  std::fill(dq, dq + s.instances * s.query_width, 0.0);
  if (dvalues != nullptr) std::fill(dvalues, dvalues + s.instances * s.value_width, 0.0);
  std::vector<double> dweight(static_cast<std::size_t>(s.instances));  // d loss / d attention of this class
  for (int64_t c = 0; c < classes; ++c) {
    const double* upstream = dpooled + c * s.value_width;  // (V)
    double mean = 0;
    for (int64_t n = 0; n < s.instances; ++n) {
      double& d = dweight[static_cast<std::size_t>(n)];
      d = dot(values + n * s.value_width, upstream, s.value_width);
      if (dattention != nullptr) d += dattention[n * classes + c];
      mean += attention[n * classes + c] * d;
    }
    for (int64_t n = 0; n < s.instances; ++n) {
      const double a = attention[n * classes + c];
      const double dlogit = s.scale * a * (dweight[static_cast<std::size_t>(n)] - mean);
      for (int64_t k = 0; k < s.query_width; ++k) {
        dq[n * s.query_width + k] += dlogit * q[critical[c] * s.query_width + k];
        dq[critical[c] * s.query_width + k] += dlogit * q[n * s.query_width + k];
      }
      if (dvalues == nullptr) continue;
      for (int64_t v = 0; v < s.value_width; ++v) dvalues[n * s.value_width + v] += a * upstream[v];
    }
  }
}

}  // namespace

template <>
const Dsmil<double>& dsmil<double>(Device device) {
  check(device == Device::cpu, "dsmil: the double reference runs on the cpu only, not on {}",
        name_of(device));
  static constexpr Dsmil<double> table{critical_instances, forward, backward};
  return table;
}

}  // namespace mt
