#pragma once
// Stable compaction: the rows whose score passes a threshold, in their order. Method and cost: compact.md.

#include <cstdint>

#include "kernels/common/stream.h"
#include "tensor/device.h"

namespace mt {

enum class Threshold : uint8_t { at_least, above };

/// Which rows are kept: score >= value, or score > value, compared in double, among the rows whose mask (or
/// null) is not 0. NaN in a row that takes part is an Error that names the row.
template <typename T>
struct Compact {
  /// scores, mask: (n). indices: room for n; the kept rows in ascending order. Returns how many.
  int64_t (*indices)(const T* scores, const uint8_t* mask, int64_t n, Threshold kind, double value,
                     int64_t* indices, Stream stream);
  /// The same for triples: slides, patches, scores: (n); kept_*: room for n each, may alias the inputs
  /// exactly.
  int64_t (*triples)(const int32_t* slides, const int64_t* patches, const T* scores, const uint8_t* mask,
                     int64_t n, Threshold kind, double value, int32_t* kept_slides, int64_t* kept_patches,
                     T* kept_scores, Stream stream);
};

template <typename T>
const Compact<T>& compact(Device device);
template <>
const Compact<float>& compact<float>(Device device);
template <>
const Compact<double>& compact<double>(Device device);

}  // namespace mt
