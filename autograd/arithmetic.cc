#include "autograd/arithmetic.h"

#include "autograd/dispatch.h"
#include "kernels/copy/copy.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/fill/fill.h"

namespace mt {

Tensor filled(const Shape& shape, double value, DType dtype, Device device) {
  const Tensor result = Tensor::empty(shape, dtype, device);
  by_dtype(dtype, "fill", [&]<typename T>() {
    mt::fill<T>(device).constant(result.data<T>(), static_cast<T>(value), result.numel(), kDefaultStream);
  });
  return result;
}

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
  std::vector<int64_t> strides;
  for (int i = 0; i < source.rank(); ++i) strides.push_back(source.stride(i));
  mt::copy<float>(source.device())
      .strided(source.raw(), source.shape().dims(), strides, target.raw(),
               static_cast<int64_t>(size_of(source.dtype())), kDefaultStream);
}

Tensor contiguous_copy(const Tensor& tensor) {
  const Tensor result = empty_like(tensor);
  copy_into(result, tensor);
  return result;
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
