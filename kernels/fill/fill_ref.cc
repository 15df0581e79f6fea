#include "kernels/fill/fill.h"
#include "tensor/check.h"

namespace mt {
namespace {

void constant(double* y, double value, int64_t n, Stream) {
  for (int64_t i = 0; i < n; ++i) y[i] = value;
}

}  // namespace

template <>
const Fill<double>& fill<double>(Device device) {
  check(device == Device::cpu, "fill: the double reference runs on the cpu only, not on {}", name_of(device));
  static constexpr Fill<double> table{constant};
  return table;
}

}  // namespace mt
