#pragma once
// Rows of length 1. Math and error bound: l2_normalise.md.

#include <cstdint>

#include "kernels/common/stream.h"
#include "tensor/device.h"

namespace mt {

/// Same as PyTorch's F.normalize's default eps.
inline constexpr double kL2NormaliseEps = 1e-12;

/// x, y, dy, dx (rows, columns), norm (rows), columns >= 1. y may alias x, dx may alias y or dy. A row that
/// holds NaN is NaN. Squares are summed in double, so that no finite row overflows or vanishes.
template <typename T>
struct L2Normalise {
  /// norm = ||x||₂ of each row, y = x / max(norm, eps)
  void (*forward)(const T* x, T* y, T* norm, int64_t rows, int64_t columns, T eps, Stream stream);
  /// dx = (dy − y (y·dy)) / norm where norm >= eps, else dy / eps
  void (*backward)(const T* y, const T* norm, const T* dy, T* dx, int64_t rows, int64_t columns, T eps,
                   Stream stream);
};

/// The table of a backend. float: cpu, cuda, simt. double: the reference, on the cpu only (gradcheck runs on
/// it).
template <typename T>
const L2Normalise<T>& l2_normalise(Device device);
template <>
const L2Normalise<float>& l2_normalise<float>(Device device);
template <>
const L2Normalise<double>& l2_normalise<double>(Device device);

}  // namespace mt
