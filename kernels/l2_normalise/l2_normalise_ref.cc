#include "kernels/l2_normalise/l2_normalise.h"

#include <algorithm>
#include <cmath>

#include "tensor/check.h"

namespace mt {
namespace {

void forward(const double* x, double* y, double* norm, int64_t rows, int64_t columns, double eps, Stream) {
  for (int64_t r = 0; r < rows; ++r) {
    double squares = 0;
    for (int64_t c = 0; c < columns; ++c) squares += x[r * columns + c] * x[r * columns + c];
    norm[r] = std::sqrt(squares);
    const double length = norm[r] < eps ? eps : norm[r];
    for (int64_t c = 0; c < columns; ++c) y[r * columns + c] = x[r * columns + c] / length;
  }
}

void backward(const double* y, const double* norm, const double* dy, double* dx, int64_t rows,
              int64_t columns, double eps, Stream) {
  for (int64_t r = 0; r < rows; ++r) {
    double dot = 0;
    for (int64_t c = 0; c < columns; ++c) dot += y[r * columns + c] * dy[r * columns + c];
    for (int64_t c = 0; c < columns; ++c) {
      const int64_t i = r * columns + c;
      dx[i] = norm[r] < eps ? dy[i] / eps : (dy[i] - y[i] * dot) / norm[r];
    }
  }
}

}  // namespace

template <>
const L2Normalise<double>& l2_normalise<double>(Device device) {
  check(device == Device::cpu, "l2_normalise: the double reference runs on the cpu only, not on {}",
        name_of(device));
  static constexpr L2Normalise<double> table{forward, backward};
  return table;
}

}  // namespace mt
