#pragma once
// Selects rows by index, and adds rows at indices. gather.md.

#include <cstdint>

#include "kernels/common/stream.h"
#include "tensor/device.h"

namespace mt {

/// x (rows, columns), indices (count) in [0, rows), y (count, columns). An index outside is an Error that
/// names it, and nothing is written; on cuda it is said by the next copy to the host or synchronize(). No
/// aliasing.
template <typename T>
struct Gather {
  /// y[i] = x[indices[i]]
  void (*rows)(const T* x, const int64_t* indices, T* y, int64_t rows, int64_t columns, int64_t count,
               Stream stream);
  /// x[indices[i]] += y[i], rows of the same index added in the order of i (the gradient of `rows`).
  void (*scatter_add_rows)(const T* y, const int64_t* indices, T* x, int64_t rows, int64_t columns,
                           int64_t count, Stream stream);
};

/// The table of a backend. float: cpu, cuda, simt. double: the reference, on the cpu only (gradcheck runs on
/// it).
template <typename T>
const Gather<T>& gather(Device device);
template <>
const Gather<float>& gather<float>(Device device);
template <>
const Gather<double>& gather<double>(Device device);

}  // namespace mt
