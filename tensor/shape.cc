#include "tensor/shape.h"

#include "tensor/check.h"

namespace mt {

Shape::Shape(std::span<const int64_t> dims) {
  check(dims.size() <= kMaxRank, "shape: {} dimensions, at most {} are supported", dims.size(), kMaxRank);
  int64_t product = 1;
  for (const int64_t dim : dims) {
    check(dim >= 0, "shape: a dimension is {}", dim);
    // A size of 0 counts as 1, so that the strides of an empty tensor cannot overflow either.
    check(dim == 0 || product <= (int64_t{1} << 62) / dim, "shape: more than 2^62 elements");
    product *= dim == 0 ? 1 : dim;
    dims_[static_cast<std::size_t>(rank_++)] = dim;
  }
}

int64_t Shape::operator[](int i) const {
  const int index = i < 0 ? i + rank_ : i;
  check(index >= 0 && index < rank_, "shape {}: no dimension {}", str(), i);
  return dims_[static_cast<std::size_t>(index)];
}

int64_t Shape::numel() const {
  int64_t product = 1;
  for (const int64_t dim : dims()) product *= dim;
  return product;
}

std::string Shape::str() const {
  std::string text = "(";
  for (int i = 0; i < rank_; ++i)
    text += (i != 0 ? "," : "") + std::to_string(dims_[static_cast<std::size_t>(i)]);
  return text + ")";
}

}  // namespace mt
