#pragma once
// Bytes of strided tensors in row-major order, as files hold them.

#include "tensor/tensor.h"

namespace mt {

/// A contiguous CPU tensor with the elements of the CPU tensor `tensor`, in storage of its own.
Tensor dense_copy(const Tensor& tensor);
/// `tensor` itself where it is contiguous, else dense_copy of it.
Tensor dense(const Tensor& tensor);
/// Makes every byte of a contiguous boolean tensor 0 or 1: files may hold others, which C++ must not read as
/// bool. Leaves other types alone.
void normalise_booleans(const Tensor& tensor);

}  // namespace mt
