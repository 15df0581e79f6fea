#pragma once
// From a tensor's dtype to the template argument of a kernel table.

#include <utility>

#include "kernels/common/stream.h"
#include "tensor/tensor.h"

namespace mt {

/// Rules run on the default queue of the device.
inline constexpr Stream kDefaultStream = nullptr;

/// Calls f.operator()<float>() or <double>(): by_dtype(x.dtype(), "softmax", [&]<typename T>() { … }).
/// float runs on the tensor's device; double is the reference, on the CPU.
template <typename F>
decltype(auto) by_dtype(DType dtype, const char* operation, F&& f) {
  check(dtype == DType::f32 || dtype == DType::f64, "{}: computes in f32 or f64, not in {}", operation,
        name_of(dtype));
  if (dtype == DType::f64) return std::forward<F>(f).template operator()<double>();
  return std::forward<F>(f).template operator()<float>();
}

/// What a rule is given beside its variables (labels, indices, statistics) must lie where it computes. An
/// undefined tensor does.
inline void check_device(const Tensor& tensor, Device device, const char* operation, const char* what) {
  check(!tensor.defined() || tensor.device() == device, "{}: {} on {}, computed on {}", operation, what,
        tensor.defined() ? name_of(tensor.device()) : "", name_of(device));
}

/// A contiguous tensor of the same dtype and device.
inline Tensor empty_like(const Tensor& tensor) {
  return Tensor::empty(tensor.shape(), tensor.dtype(), tensor.device());
}
inline Tensor empty_like(const Tensor& tensor, const Shape& shape) {
  return Tensor::empty(shape, tensor.dtype(), tensor.device());
}

}  // namespace mt
