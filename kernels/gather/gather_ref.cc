#include "kernels/gather/gather.h"

#include "tensor/check.h"

namespace mt {
namespace {

void check_indices(const int64_t* indices, int64_t rows, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    check(indices[i] >= 0 && indices[i] < rows, "gather: index {} at {} is outside of [0, {})", indices[i], i,
          rows);
  }
}

void select(const double* x, const int64_t* indices, double* y, int64_t rows, int64_t columns, int64_t count,
            Stream) {
  check_indices(indices, rows, count);
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t c = 0; c < columns; ++c) y[i * columns + c] = x[indices[i] * columns + c];
  }
}

void scatter_add_rows(const double* y, const int64_t* indices, double* x, int64_t rows, int64_t columns,
                      int64_t count, Stream) {
  check_indices(indices, rows, count);
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t c = 0; c < columns; ++c) x[indices[i] * columns + c] += y[i * columns + c];
  }
}

}  // namespace

template <>
const Gather<double>& gather<double>(Device device) {
  check(device == Device::cpu, "gather: the double reference runs on the cpu only, not on {}",
        name_of(device));
  static constexpr Gather<double> table{select, scatter_add_rows};
  return table;
}

}  // namespace mt
