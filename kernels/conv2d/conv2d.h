#pragma once
// Two-dimensional convolution (cross-correlation, as in every deep-learning library), also from 8-bit images
// and with what often follows it. Math, error bound and cost: conv2d.md.

#include <cstdint>

#include "kernels/common/stream.h"
#include "kernels/copy/copy.h"
#include "tensor/device.h"

namespace mt {

/// Sizes of one convolution: n images of h x w pixels and c channels, k filters of r x s taps, the same
/// stride and zero padding in both directions. stride >= 1, padding >= 0, r and s >= 1, and the padded image
/// must hold the filter.
struct Conv2dShape {
  int64_t n = 0;
  int64_t h = 0;
  int64_t w = 0;
  int64_t c = 0;
  int64_t k = 0;
  int64_t r = 1;
  int64_t s = 1;
  int64_t stride = 1;
  int64_t padding = 0;

  int64_t out_h() const { return (h + 2 * padding - r) / stride + 1; }
  int64_t out_w() const { return (w + 2 * padding - s) / stride + 1; }
};

/// Throws an Error that names the wrong size; every function of the table calls it first.
void check_conv2d_shape(const Conv2dShape& shape);
/// The same for forward_pixels: c must be 3.
void check_conv2d_pixels(const Conv2dShape& shape);

/// What becomes of each sum of a forward convolution before it is stored, in this order; nullptr leaves a
/// part out. The arrays must not overlap y or the inputs.
template <typename T>
struct Conv2dEpilogue {
  const T* bias = nullptr;      ///< (K): v = sum + bias[k]
  const T* residual = nullptr;  ///< (N,P,Q,K): v = v + residual[n,p,q,k]
  /// (N,K), of v: after bias and residual, before the ReLU. sums = Σ over p,q of v, square_sums = Σ of v². An
  /// image's sums do not depend on how many images there are.
  T* sums = nullptr;
  T* square_sums = nullptr;
  bool relu = false;  ///< y = max(v, 0), NaN kept; else y = v

  bool has_statistics() const { return sums != nullptr || square_sums != nullptr; }
};

/// x and dx are (N,H,W,C), weight and dw (K,R,S,C), y and dy (N,P,Q,K) with P = out_h(), Q = out_w(); all
/// contiguous. Outputs are overwritten and must not overlap inputs. n, c or k may be 0: empty sums are 0.
template <typename T>
struct Conv2d {
  /// y[n,p,q,k] = sum over r,s,c of x[n, p stride + r - padding, q stride + s - padding, c] weight[k,r,s,c]
  void (*forward)(const T* x, const T* weight, T* y, const Conv2dShape& shape, Stream stream);
  /// dx[n,h,w,c] = sum over r,s,k and the p,q with p stride + r - padding = h, q stride + s - padding = w of
  /// dy[n,p,q,k] weight[k,r,s,c]
  void (*backward_data)(const T* dy, const T* weight, T* dx, const Conv2dShape& shape, Stream stream);
  /// dw[k,r,s,c] = sum over n,p,q of dy[n,p,q,k] x[n, p stride + r - padding, q stride + s - padding, c],
  /// summed per shard of 8 images (the first 8, the next 8 …), the shards added in their order.
  void (*backward_weights)(const T* x, const T* dy, T* dw, const Conv2dShape& shape, Stream stream);
  /// forward with an epilogue in the same pass. y has the bits of forward, Elementwise::add_row, add and
  /// Activation's relu in turn.
  void (*forward_fused)(const T* x, const T* weight, T* y, const Conv2dShape& shape,
                        const Conv2dEpilogue<T>& epilogue, Stream stream);
  /// forward_fused of x = Copy::image_to_float(pixels, scaling), with its bits, but x is never in memory as a
  /// whole: pixels are scaled where they are loaded. pixels (N,H,W,3) of u8; an Error when c is not 3.
  void (*forward_pixels)(const uint8_t* pixels, const ImageScaling& scaling, const T* weight, T* y,
                         const Conv2dShape& shape, const Conv2dEpilogue<T>& epilogue, Stream stream);
};

/// Images in a shard of backward_weights.
inline constexpr int64_t kConv2dShardImages = 8;

/// The table of a backend. float: cpu, cuda, simt. double: the reference, on the cpu only (gradcheck runs on
/// it).
template <typename T>
const Conv2d<T>& conv2d(Device device);
template <>
const Conv2d<float>& conv2d<float>(Device device);
template <>
const Conv2d<double>& conv2d<double>(Device device);

}  // namespace mt
