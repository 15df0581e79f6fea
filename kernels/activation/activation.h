#pragma once
// Pointwise activation functions. Formulas, derivatives and error bounds: activation.md.

#include <cstdint>

#include "kernels/common/stream.h"
#include "tensor/device.h"

namespace mt {

/// gelu_erf is PyTorch's default GELU, gelu_tanh its approximate='tanh'.
enum class ActivationKind : uint8_t { relu, tanh, sigmoid, gelu_erf, gelu_tanh, silu };

/// What the backward reads: the forward's output y (relu, tanh, sigmoid) or its input x (the others).
constexpr bool activation_backward_reads_output(ActivationKind kind) {
  return kind == ActivationKind::relu || kind == ActivationKind::tanh || kind == ActivationKind::sigmoid;
}

/// Arrays of n >= 0 elements. Outputs may alias inputs exactly. NaN stays NaN (relu included); relu's slope
/// at 0 is 0.
template <typename T>
struct Activation {
  void (*forward)(ActivationKind kind, const T* x, T* y, int64_t n, Stream stream);
  /// dx = dy · f'. `saved` is y or x: see activation_backward_reads_output.
  void (*backward)(ActivationKind kind, const T* saved, const T* dy, T* dx, int64_t n, Stream stream);
};

/// The table of a backend. float: cpu, cuda, simt. double: the reference, on the cpu only (gradcheck runs on
/// it).
template <typename T>
const Activation<T>& activation(Device device);
template <>
const Activation<float>& activation<float>(Device device);
template <>
const Activation<double>& activation<double>(Device device);

}  // namespace mt
