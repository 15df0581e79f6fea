#include "tensor/io/dense.h"

#include <cstring>

namespace mt {

Tensor dense_copy(const Tensor& tensor) {
  check(tensor.defined() && tensor.device() != Device::cuda,
        "dense_copy: needs a tensor in the host's memory");
  Tensor result = Tensor::empty(tensor.shape(), tensor.dtype());
  if (tensor.numel() == 0) return result;
  const auto* from = static_cast<const char*>(tensor.raw());
  auto* to = static_cast<char*>(result.raw());
  if (tensor.is_contiguous()) {
    std::memcpy(to, from, tensor.bytes());
    return result;
  }
  const std::size_t width = size_of(tensor.dtype());
  std::array<int64_t, Shape::kMaxRank> index{};
  int64_t offset = 0;  // in elements, of the element that `index` names
  for (int64_t i = 0; i < tensor.numel(); ++i) {
    std::memcpy(to + static_cast<std::size_t>(i) * width, from + static_cast<std::size_t>(offset) * width,
                width);
    for (int dim = tensor.rank() - 1; dim >= 0; --dim) {
      auto& position = index[static_cast<std::size_t>(dim)];
      offset += tensor.stride(dim);
      if (++position < tensor.dim(dim)) break;
      offset -= position * tensor.stride(dim);
      position = 0;
    }
  }
  return result;
}

void normalise_booleans(const Tensor& tensor) {
  if (tensor.dtype() != DType::boolean) return;
  auto* bytes = static_cast<unsigned char*>(tensor.raw());
  for (std::size_t i = 0; i < tensor.bytes(); ++i) bytes[i] = bytes[i] != 0 ? 1 : 0;
}

Tensor dense(const Tensor& tensor) {
  return tensor.is_contiguous() ? tensor : dense_copy(tensor);
}

}  // namespace mt
