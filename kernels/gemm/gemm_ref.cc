#include <cmath>

#include "kernels/gemm/gemm.h"
#include "tensor/check.h"

namespace mt {
namespace {

double activate(double value, GemmActivation activation) {
  switch (activation) {
    case GemmActivation::none:
      return value;
    case GemmActivation::relu:
      return value < 0 ? 0 : value;
    case GemmActivation::tanh:
      return std::tanh(value);
  }
  return value;
}

void multiply(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, const double* a,
              int64_t lda, const double* b, int64_t ldb, double beta, double* c, int64_t ldc,
              const GemmEpilogue<double>& epilogue, Stream) {
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      double sum = 0;
      for (int64_t t = 0; t < k; ++t) {
        sum +=
            (transpose_a ? a[t * lda + i] : a[i * lda + t]) * (transpose_b ? b[j * ldb + t] : b[t * ldb + j]);
      }
      if (beta != 0) sum += beta * c[i * ldc + j];
      if (epilogue.bias != nullptr) sum += epilogue.bias[j];
      c[i * ldc + j] = activate(sum, epilogue.activation);
    }
  }
}

}  // namespace

template <>
const Gemm<double>& gemm<double>(Device device) {
  check(device == Device::cpu, "gemm: the double reference runs on the cpu only, not on {}", name_of(device));
  static constexpr Gemm<double> table{multiply};
  return table;
}

}  // namespace mt
