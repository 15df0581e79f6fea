#include "kernels/reduce/reduce.h"

#include <cmath>

#include "tensor/check.h"

namespace mt {
namespace {

void column_sum(const double* x, double* y, int64_t rows, int64_t columns, Stream) {
  for (int64_t c = 0; c < columns; ++c) {
    y[c] = 0;
    for (int64_t r = 0; r < rows; ++r) y[c] += x[r * columns + c];
  }
}

void column_mean(const double* x, double* y, int64_t rows, int64_t columns, Stream stream) {
  check(rows >= 1, "column_mean: no rows to take the mean of");
  column_sum(x, y, rows, columns, stream);
  for (int64_t c = 0; c < columns; ++c) y[c] /= static_cast<double>(rows);
}

void sum(const double* x, double* y, int64_t n, Stream) {
  y[0] = 0;
  for (int64_t i = 0; i < n; ++i) y[0] += x[i];
}

void all_finite(const double* x, uint8_t* flag, int64_t n, Stream) {
  flag[0] = 1;
  for (int64_t i = 0; i < n; ++i) {
    if (!std::isfinite(x[i])) flag[0] = 0;
  }
}

}  // namespace

template <>
const Reduce<double>& reduce<double>(Device device) {
  check(device == Device::cpu, "reduce: the double reference runs on the cpu only, not on {}",
        name_of(device));
  static constexpr Reduce<double> table{column_sum, column_mean, sum, all_finite};
  return table;
}

}  // namespace mt
