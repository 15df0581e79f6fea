#include "autograd/arithmetic.h"

#include "autograd/dispatch.h"
#include "kernels/copy/copy.h"
#include "kernels/device/device.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/fill/fill.h"

namespace mt {

Tensor filled(const Shape& shape, double value, DType dtype, Device device) {
  const Tensor result = Tensor::empty(shape, dtype, device);
  fill_with(result, value);
  return result;
}

void fill_with(const Tensor& target, double value) {
  check(target.is_contiguous(), "fill: {} is not contiguous", target.shape().str());
  by_dtype(target.dtype(), "fill", [&]<typename T>() {
    mt::fill<T>(target.device())
        .constant(target.data<T>(), static_cast<T>(value), target.numel(), kDefaultStream);
  });
}

/// Targets, labels, offsets: what a step brings to the device does not wait for the work before it.
constexpr std::size_t kQueuedCopyBytes = std::size_t{256} << 10;

Tensor zeros_like(const Tensor& tensor) {
  return filled(tensor.shape(), 0, tensor.dtype(), tensor.device());
}
Tensor ones_like(const Tensor& tensor) {
  return filled(tensor.shape(), 1, tensor.dtype(), tensor.device());
}

void add_to(const Tensor& target, const Tensor& source) {
  check(target.shape() == source.shape() && target.is_contiguous() && source.is_contiguous(),
        "add: {} and {} must be contiguous and of one shape", target.shape().str(), source.shape().str());
  by_dtype(target.dtype(), "add", [&]<typename T>() {
    mt::elementwise<T>(target.device())
        .add(target.data<T>(), source.data<T>(), target.data<T>(), target.numel(), kDefaultStream);
  });
}

Tensor sum_of(const Tensor& a, const Tensor& b) {
  const Tensor result = contiguous_copy(a);
  add_to(result, b);
  return result;
}

void copy_into(const Tensor& target, const Tensor& source) {
  check(target.shape() == source.shape() && target.dtype() == source.dtype() && target.is_contiguous(),
        "copy: {} {} into {} {}: the target must be contiguous and alike", name_of(source.dtype()),
        source.shape().str(), name_of(target.dtype()), target.shape().str());
  if (target.numel() == 0) return;
  if (source.device() != target.device()) {
    const Tensor whole = source.is_contiguous() ? source : contiguous_copy(source);
    if (whole.device() == Device::cpu && whole.bytes() <= kQueuedCopyBytes) {
      queue_copy_to_device(target.device(), target.raw(), whole.raw(), whole.bytes(), kDefaultStream);
      return;
    }
    copy_bytes(target.raw(), target.device(), whole.raw(), whole.device(), whole.bytes(), kDefaultStream);
    return;
  }
  std::vector<int64_t> strides;
  for (int i = 0; i < source.rank(); ++i) strides.push_back(source.stride(i));
  mt::copy<float>(source.device())
      .strided(source.raw(), source.shape().dims(), strides, target.raw(),
               static_cast<int64_t>(size_of(source.dtype())), kDefaultStream);
}

Tensor copied_to(const Tensor& tensor, Device device) {
  const Tensor result = Tensor::empty(tensor.shape(), tensor.dtype(), device);
  copy_into(result, tensor);
  return result;
}

Tensor moved_to(const Tensor& tensor, Device device) {
  return tensor.device() == device ? tensor : copied_to(tensor, device);
}

Tensor contiguous_copy(const Tensor& tensor) {
  return copied_to(tensor, tensor.device());
}

Tensor cast(const Tensor& tensor, DType dtype) {
  const Tensor source = tensor.is_contiguous() ? tensor : contiguous_copy(tensor);
  const Tensor result = Tensor::empty(tensor.shape(), dtype, tensor.device());
  if (result.numel() == 0) return result;
  mt::copy<float>(tensor.device())
      .cast(source.raw(), source.dtype(), result.raw(), dtype, result.numel(), kDefaultStream);
  return result;
}

}  // namespace mt
