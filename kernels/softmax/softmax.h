#pragma once
// Row-wise softmax. Math, error bound and cost: softmax.md.

#include <cstdint>

#include "kernels/common/stream.h"
#include "tensor/device.h"

namespace mt {

/// All arrays are row-major and contiguous, (rows, columns); rows >= 0, columns >= 1. Outputs may alias
/// inputs exactly. A row that holds NaN or only -inf becomes NaN; +inf makes its row NaN, as in PyTorch.
template <typename T>
struct Softmax {
  /// y[r,c] = exp(x[r,c]) / sum over j of exp(x[r,j])
  void (*forward)(const T* x, T* y, int64_t rows, int64_t columns, Stream stream);
  /// dx[r,c] = y[r,c] * (dy[r,c] - sum over j of dy[r,j] y[r,j])
  void (*backward)(const T* y, const T* dy, T* dx, int64_t rows, int64_t columns, Stream stream);
};

/// The table of a backend. float: cpu, cuda, simt. double: the reference, on the cpu only (gradcheck runs on
/// it).
template <typename T>
const Softmax<T>& softmax(Device device);
template <>
const Softmax<float>& softmax<float>(Device device);
template <>
const Softmax<double>& softmax<double>(Device device);

}  // namespace mt
