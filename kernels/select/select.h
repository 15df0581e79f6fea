#pragma once
// Exact quantiles and top-K by selection. Method and cost: select.md.

#include <cstdint>

#include "kernels/common/stream.h"
#include "tensor/device.h"

namespace mt {

/// scores: (n). mask: (n) or null; only rows with a nonzero mask take part. NaN in a row that takes part is
/// an Error that names the row; infinities are ordered as numbers; −0 equals +0.
template <typename T>
struct Select {
  /// values[l] = the levels[l] quantile, interpolated linearly between two order statistics as numpy.quantile
  /// does (method "linear"): at position level · (m − 1) of the m sorted scores. levels in [0, 1] and values:
  /// (level_count), both in host memory; m >= 1, else an Error.
  void (*quantiles)(const T* scores, const uint8_t* mask, int64_t n, const double* levels, double* values,
                    int64_t level_count, Stream stream);
  /// The k largest scores by descending score, ties by smaller index; indices and values: (k). Returns how
  /// many there are: min(k, rows that take part). Entries beyond are left alone.
  int64_t (*top_k)(const T* scores, const uint8_t* mask, int64_t n, int64_t k, int64_t* indices, T* values,
                   Stream stream);
};

template <typename T>
const Select<T>& select(Device device);
template <>
const Select<float>& select<float>(Device device);
template <>
const Select<double>& select<double>(Device device);

}  // namespace mt
