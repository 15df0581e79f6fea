#pragma once
// Sums in a fixed order. The trees, error bounds and cost: reduce.md.

#include <cstdint>

#include "kernels/common/stream.h"
#include "tensor/device.h"

namespace mt {

/// x (rows, columns) row-major; empty sums are 0. Outputs are overwritten and must not alias x. NaN and
/// infinities propagate as in a plain sum.
template <typename T>
struct Reduce {
  /// y (columns)
  void (*column_sum)(const T* x, T* y, int64_t rows, int64_t columns, Stream stream);
  /// y (columns); rows >= 1
  void (*column_mean)(const T* x, T* y, int64_t rows, int64_t columns, Stream stream);
  /// x (n) → y[0]
  void (*sum)(const T* x, T* y, int64_t n, Stream stream);
  /// flag[0] = 1 when no element is NaN or infinite (also for n = 0), else 0.
  void (*all_finite)(const T* x, uint8_t* flag, int64_t n, Stream stream);
};

/// The table of a backend. float: cpu, cuda, simt. double: the reference, on the cpu only (gradcheck runs on
/// it).
template <typename T>
const Reduce<T>& reduce(Device device);
template <>
const Reduce<float>& reduce<float>(Device device);
template <>
const Reduce<double>& reduce<double>(Device device);

}  // namespace mt
