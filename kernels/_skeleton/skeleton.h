#pragma once
// Scale and add: the operation to copy. Math, error bound and cost: skeleton.md.

#include <cstdint>

#include "kernels/common/stream.h"
#include "tensor/device.h"

namespace mt {

/// All arrays have n elements, n >= 0. Outputs may alias inputs exactly. NaN stays in its element.
template <typename T>
struct Skeleton {
  /// y[i] = a * x[i] + b
  void (*forward)(const T* x, T* y, int64_t n, T a, T b, Stream stream);
  /// dx[i] = a * dy[i]
  void (*backward)(const T* dy, T* dx, int64_t n, T a, Stream stream);
};

/// The table of a backend. float: cpu, cuda, simt. double: the reference, on the cpu only (gradcheck runs on
/// it).
template <typename T>
const Skeleton<T>& skeleton(Device device);
template <>
const Skeleton<float>& skeleton<float>(Device device);
template <>
const Skeleton<double>& skeleton<double>(Device device);

}  // namespace mt
