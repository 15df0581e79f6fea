#pragma once
// Max pooling of NHWC activations, and the global average. Math and cost: pool.md.

#include <cstdint>

#include "kernels/common/stream.h"
#include "tensor/device.h"

namespace mt {

/// A square window. 1 <= window <= 15, stride >= 1, 0 <= padding <= window / 2 (so that no window is all
/// padding).
struct PoolWindow {
  int64_t window = 3;
  int64_t stride = 2;
  int64_t padding = 1;
  /// Pooled height (or width) of `size` pixels, as PyTorch with ceil_mode=False.
  int64_t pooled(int64_t size) const { return (size + 2 * padding - window) / stride + 1; }
};

/// x, dx (N,H,W,C); y, dy, argmax (N,pooled(H),pooled(W),C). H and W plus padding are at least the window.
/// No output may alias an input.
template <typename T>
struct Pool {
  /// Padding never wins. argmax (nullptr: not wanted) is ky · window + kx of the maximum; of equal ones the
  /// first in that order wins. A NaN beats every number, and the first NaN wins.
  void (*max_forward)(const T* x, T* y, uint8_t* argmax, int64_t n, int64_t h, int64_t w, int64_t c,
                      PoolWindow window, Stream stream);
  /// dx = for each input pixel the sum of dy over the windows that chose it, windows in row-major order.
  void (*max_backward)(const T* dy, const uint8_t* argmax, T* dx, int64_t n, int64_t h, int64_t w, int64_t c,
                       PoolWindow window, Stream stream);
  /// x (N,P,C) → y (N,C): the mean over P = H·W >= 1 pixels.
  void (*global_average_forward)(const T* x, T* y, int64_t n, int64_t pixels, int64_t c, Stream stream);
  /// dy (N,C) → dx (N,P,C): dy / P.
  void (*global_average_backward)(const T* dy, T* dx, int64_t n, int64_t pixels, int64_t c, Stream stream);
};

/// The table of a backend. float: cpu, cuda, simt. double: the reference, on the cpu only (gradcheck runs on
/// it).
template <typename T>
const Pool<T>& pool(Device device);
template <>
const Pool<float>& pool<float>(Device device);
template <>
const Pool<double>& pool<double>(Device device);

}  // namespace mt
