#pragma once
// Fills memory with one value. fill.md.

#include <cstdint>

#include "kernels/common/stream.h"
#include "tensor/device.h"

namespace mt {

template <typename T>
struct Fill {
  /// y[i] = value for i in [0, n), n >= 0. The bits of value are kept (−0, NaN payload).
  void (*constant)(T* y, T value, int64_t n, Stream stream);
};

/// The table of a backend. float: cpu, cuda, simt. double: the reference, on the cpu only.
template <typename T>
const Fill<T>& fill(Device device);
template <>
const Fill<float>& fill<float>(Device device);
template <>
const Fill<double>& fill<double>(Device device);

}  // namespace mt
