#include "kernels/elementwise/elementwise.h"

#include "tensor/check.h"

namespace mt {
namespace {

void add(const double* a, const double* b, double* y, int64_t n, Stream) {
  for (int64_t i = 0; i < n; ++i) y[i] = a[i] + b[i];
}

void sub(const double* a, const double* b, double* y, int64_t n, Stream) {
  for (int64_t i = 0; i < n; ++i) y[i] = a[i] - b[i];
}

void mul(const double* a, const double* b, double* y, int64_t n, Stream) {
  for (int64_t i = 0; i < n; ++i) y[i] = a[i] * b[i];
}

void scale(const double* x, double factor, double* y, int64_t n, Stream) {
  for (int64_t i = 0; i < n; ++i) y[i] = factor * x[i];
}

void add_row(const double* x, const double* row, double* y, int64_t rows, int64_t columns, Stream) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) y[r * columns + c] = x[r * columns + c] + row[c];
  }
}

}  // namespace

template <>
const Elementwise<double>& elementwise<double>(Device device) {
  check(device == Device::cpu, "elementwise: the double reference runs on the cpu only, not on {}",
        name_of(device));
  static constexpr Elementwise<double> table{add, sub, mul, scale, add_row};
  return table;
}

}  // namespace mt
