#pragma once
// Moves elements: strided to contiguous, between element types, between layouts, and from 8-bit images to
// numbers. copy.md.

#include <array>
#include <cstdint>
#include <span>

#include "kernels/common/stream.h"
#include "tensor/device.h"
#include "tensor/dtype.h"

namespace mt {

/// y = (u8 / 255 − mean[c]) / std[c], c counted in the output's channel order.
struct ImageScaling {
  std::array<float, 3> mean{0, 0, 0};
  std::array<float, 3> std{1, 1, 1};
  /// Exchanges the first and the third channel (RGB in memory, BGR for the network, or the reverse).
  bool swap_red_blue = false;
};

/// What image_to_float makes of each byte in each channel: [c][v], one rounding from double.
using ImageTable = std::array<std::array<float, 256>, 3>;
ImageTable image_table(const ImageScaling& scaling);

/// No output may overlap an input.
template <typename T>
struct Copy {
  /// Copies the view `dims`, `strides` (in elements; 0 and negative allowed; rank 0 to 8) at `source` to
  /// `target`, row-major without gaps. element_bytes is 1, 2, 4 or 8.
  void (*strided)(const void* source, std::span<const int64_t> dims, std::span<const int64_t> strides,
                  void* target, int64_t element_bytes, Stream stream);
  /// Converts n elements, rounding to nearest even. Targets: f32, f64, bf16, i64 (numbers are truncated
  /// towards 0, NaN is an error there, as is what lies outside of i64). Sources: every type. Same type: a
  /// copy. Others throw.
  void (*cast)(const void* source, DType source_type, void* target, DType target_type, int64_t n,
               Stream stream);
  /// images (N,P,3) of u8 → y (N,P,3), P = H·W.
  void (*image_to_float)(const uint8_t* images, T* y, int64_t n, int64_t pixels, const ImageScaling& scaling,
                         Stream stream);
};

/// The table of a backend. float: cpu, cuda, simt. double: the reference, on the cpu only (its `strided` and
/// `cast` do the same as float's, element by element).
template <typename T>
const Copy<T>& copy(Device device);
template <>
const Copy<float>& copy<float>(Device device);
template <>
const Copy<double>& copy<double>(Device device);

}  // namespace mt
