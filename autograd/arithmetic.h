#pragma once
// The few computations on plain tensors that the tape itself needs.

#include "tensor/tensor.h"

namespace mt {

/// Contiguous, f32 or f64, same shape and device as `tensor`.
Tensor zeros_like(const Tensor& tensor);
Tensor ones_like(const Tensor& tensor);
Tensor filled(const Shape& shape, double value, DType dtype, Device device = Device::cpu);
/// Every element becomes `value`; f32 or f64.
void fill_with(const Tensor& target, double value);
/// target += source; both contiguous, of one shape and dtype.
void add_to(const Tensor& target, const Tensor& source);
/// a + b in a new tensor.
Tensor sum_of(const Tensor& a, const Tensor& b);
/// Copies any view into a contiguous tensor of its shape and dtype, on the same or another device.
void copy_into(const Tensor& target, const Tensor& source);
/// A contiguous copy on a device.
Tensor copied_to(const Tensor& tensor, Device device);
/// The tensor itself when it is on the device already, else a copy there.
Tensor moved_to(const Tensor& tensor, Device device);
/// A contiguous copy of any view; a contiguous copy in another dtype (f32, f64, bf16, i64).
Tensor contiguous_copy(const Tensor& tensor);
Tensor cast(const Tensor& tensor, DType dtype);

}  // namespace mt
