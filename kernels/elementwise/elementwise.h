#pragma once
// Pointwise arithmetic. Formulas: elementwise.md.

#include <cstdint>

#include "kernels/common/stream.h"
#include "tensor/device.h"

namespace mt {

/// Arrays of n >= 0 elements, contiguous. y may alias an input exactly.
template <typename T>
struct Elementwise {
  void (*add)(const T* a, const T* b, T* y, int64_t n, Stream stream);  ///< y = a + b
  void (*sub)(const T* a, const T* b, T* y, int64_t n, Stream stream);  ///< y = a − b
  void (*mul)(const T* a, const T* b, T* y, int64_t n, Stream stream);  ///< y = a · b
  void (*scale)(const T* x, T factor, T* y, int64_t n, Stream stream);  ///< y = factor · x
  /// y[r,c] = x[r,c] + row[c]: the bias of a linear layer. x, y (rows, columns), row (columns).
  void (*add_row)(const T* x, const T* row, T* y, int64_t rows, int64_t columns, Stream stream);
};

/// The table of a backend. float: cpu, cuda, simt. double: the reference, on the cpu only (gradcheck runs on
/// it).
template <typename T>
const Elementwise<T>& elementwise(Device device);
template <>
const Elementwise<float>& elementwise<float>(Device device);
template <>
const Elementwise<double>& elementwise<double>(Device device);

}  // namespace mt
