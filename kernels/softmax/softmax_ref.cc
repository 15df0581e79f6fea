#include <algorithm>
#include <cmath>

#include "kernels/softmax/softmax.h"
#include "tensor/check.h"

namespace mt {
namespace {

void forward(const double* x, double* y, int64_t rows, int64_t columns, Stream) {
  for (int64_t r = 0; r < rows; ++r) {
    const double* in = x + r * columns;  // (columns)
    double* out = y + r * columns;       // (columns)
    double largest = in[0];
    for (int64_t c = 1; c < columns; ++c) largest = std::max(largest, in[c]);
    double sum = 0;
    for (int64_t c = 0; c < columns; ++c) {
      out[c] = std::exp(in[c] - largest);
      sum += out[c];
    }
    for (int64_t c = 0; c < columns; ++c) out[c] /= sum;
  }
}

void backward(const double* y, const double* dy, double* dx, int64_t rows, int64_t columns, Stream) {
  for (int64_t r = 0; r < rows; ++r) {
    double dot = 0;
    for (int64_t c = 0; c < columns; ++c) dot += y[r * columns + c] * dy[r * columns + c];
    for (int64_t c = 0; c < columns; ++c)
      dx[r * columns + c] = y[r * columns + c] * (dy[r * columns + c] - dot);
  }
}

}  // namespace

template <>
const Softmax<double>& softmax<double>(Device device) {
  check(device == Device::cpu, "softmax: the double reference runs on the cpu only, not on {}",
        name_of(device));
  static constexpr Softmax<double> table{forward, backward};
  return table;
}

}  // namespace mt
