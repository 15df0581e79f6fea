#include "tensor/tensor.h"

#include <cstring>

#include "tensor/allocator.h"

namespace mt {
namespace {

std::array<int64_t, Shape::kMaxRank> row_major(const Shape& shape) {
  std::array<int64_t, Shape::kMaxRank> strides{};
  int64_t stride = 1;
  for (int i = shape.rank() - 1; i >= 0; --i) {
    strides[static_cast<std::size_t>(i)] = stride;
    stride *= shape[i];
  }
  return strides;
}

int normalised(int dim, const Shape& shape, const char* what) {
  const int index = dim < 0 ? dim + shape.rank() : dim;
  check(index >= 0 && index < shape.rank(), "{}: tensor {} has no dimension {}", what, shape.str(), dim);
  return index;
}

}  // namespace

Storage::Storage(std::size_t bytes, Device device)
    : data_(allocator(device).allocate(bytes)), bytes_(bytes), device_(device) {}

Storage::~Storage() {
  allocator(device_).deallocate(data_, bytes_);
}

void Storage::bump_version(const char* writer) {
  version_.fetch_add(1, std::memory_order_relaxed);
  last_writer_ = writer;
}

Tensor Tensor::empty(const Shape& shape, DType dtype, Device device) {
  check(shape.numel() <= (int64_t{1} << 58), "tensor {}: more elements than any memory holds", shape.str());
  Tensor tensor;
  tensor.storage_ =
      std::make_shared<Storage>(static_cast<std::size_t>(shape.numel()) * size_of(dtype), device);
  tensor.shape_ = shape;
  tensor.strides_ = row_major(shape);
  tensor.dtype_ = dtype;
  return tensor;
}

Tensor Tensor::view_of(std::shared_ptr<Storage> storage, int64_t offset, const Shape& shape,
                       std::span<const int64_t> strides, DType dtype) {
  check(storage != nullptr && strides.size() == static_cast<std::size_t>(shape.rank()),
        "tensor {}: {} strides for {} dimensions", shape.str(), strides.size(), shape.rank());
  Tensor tensor;
  const auto elements = static_cast<int64_t>(storage->bytes() / size_of(dtype));
  int64_t last = offset;
  check(offset >= 0 && offset <= elements, "tensor {}: offset {} is outside of its storage of {} elements",
        shape.str(), offset, elements);
  for (int i = 0; i < shape.rank(); ++i) {
    const int64_t stride = strides[static_cast<std::size_t>(i)];
    check(stride >= 0, "tensor {}: negative stride {}", shape.str(), stride);
    tensor.strides_[static_cast<std::size_t>(i)] = stride;
    if (shape[i] > 1 && stride > 0 && shape.numel() != 0) {
      check(stride <= (elements - last) / (shape[i] - 1),
            "tensor {}: reaches outside of its storage of {} elements", shape.str(), elements);
      last += stride * (shape[i] - 1);
    }
  }
  check(shape.numel() == 0 || last < elements, "tensor {}: reaches outside of its storage of {} elements",
        shape.str(), elements);
  tensor.storage_ = std::move(storage);
  tensor.offset_ = offset;
  tensor.shape_ = shape;
  tensor.dtype_ = dtype;
  return tensor;
}

int64_t Tensor::stride(int i) const {
  return strides_[static_cast<std::size_t>(normalised(i, shape_, "stride"))];
}

Device Tensor::device() const {
  check(defined(), "tensor: undefined");
  return storage_->device();
}

bool Tensor::is_contiguous() const {
  int64_t expected = 1;
  for (int i = rank() - 1; i >= 0; --i) {
    if (dim(i) != 1 && stride(i) != expected) return numel() == 0;
    expected *= dim(i);
  }
  return true;
}

void* Tensor::raw() const {
  check(defined(), "tensor: undefined");
  return static_cast<char*>(storage_->data()) + static_cast<std::size_t>(offset_) * size_of(dtype_);
}

Tensor Tensor::view(std::span<const int64_t> dims) const {
  check(is_contiguous(), "view: tensor {} is not contiguous; make it so first", shape_.str());
  std::vector<int64_t> sizes(dims.begin(), dims.end());
  int64_t known = 1;
  int inferred = -1;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i] == -1) {
      check(inferred < 0, "view: more than one dimension is -1");
      inferred = static_cast<int>(i);
    } else {
      known *= sizes[i];
    }
  }
  if (inferred >= 0) {
    check(known > 0 && numel() % known == 0, "view: {} elements do not divide by {}", numel(), known);
    sizes[static_cast<std::size_t>(inferred)] = numel() / known;
  }
  Tensor result = *this;
  result.shape_ = Shape(std::span<const int64_t>(sizes));
  check(result.numel() == numel(), "view: tensor {} does not have the elements of {}", shape_.str(),
        result.shape_.str());
  result.strides_ = row_major(result.shape_);
  return result;
}

Tensor Tensor::slice(int dim, int64_t begin, int64_t end) const {
  const int d = normalised(dim, shape_, "slice");
  check(0 <= begin && begin <= end && end <= shape_[d], "slice: [{}, {}) of dimension {} of tensor {}", begin,
        end, dim, shape_.str());
  std::vector<int64_t> sizes(shape_.dims().begin(), shape_.dims().end());
  sizes[static_cast<std::size_t>(d)] = end - begin;
  Tensor result = *this;
  result.shape_ = Shape(std::span<const int64_t>(sizes));
  result.offset_ += begin * stride(d);
  return result;
}

Tensor Tensor::select(int dim, int64_t index) const {
  const int d = normalised(dim, shape_, "select");
  check(0 <= index && index < shape_[d], "select: index {} of dimension {} of tensor {}", index, dim,
        shape_.str());
  std::vector<int64_t> sizes;
  Tensor result = *this;
  result.strides_ = {};
  for (int i = 0; i < rank(); ++i) {
    if (i == d) continue;
    result.strides_[sizes.size()] = stride(i);
    sizes.push_back(shape_[i]);
  }
  result.shape_ = Shape(std::span<const int64_t>(sizes));
  result.offset_ += index * stride(d);
  return result;
}

Tensor Tensor::permute(std::initializer_list<int> order) const {
  check(static_cast<int>(order.size()) == rank(), "permute: {} dimensions named for tensor {}", order.size(),
        shape_.str());
  std::vector<int64_t> sizes;
  Tensor result = *this;
  unsigned seen = 0;
  for (const int dim : order) {
    const int d = normalised(dim, shape_, "permute");
    check((seen >> d & 1U) == 0, "permute: dimension {} is named twice", dim);
    seen |= 1U << d;
    result.strides_[sizes.size()] = stride(d);
    sizes.push_back(shape_[d]);
  }
  result.shape_ = Shape(std::span<const int64_t>(sizes));
  return result;
}

Tensor Tensor::transpose(int a, int b) const {
  const int first = normalised(a, shape_, "transpose");
  const int second = normalised(b, shape_, "transpose");
  std::vector<int64_t> sizes(shape_.dims().begin(), shape_.dims().end());
  Tensor result = *this;
  std::swap(sizes[static_cast<std::size_t>(first)], sizes[static_cast<std::size_t>(second)]);
  std::swap(result.strides_[static_cast<std::size_t>(first)],
            result.strides_[static_cast<std::size_t>(second)]);
  result.shape_ = Shape(std::span<const int64_t>(sizes));
  return result;
}

Tensor Tensor::expand(const Shape& shape) const {
  check(shape.rank() == rank(), "expand: tensor {} to {}", shape_.str(), shape.str());
  Tensor result = *this;
  for (int i = 0; i < rank(); ++i) {
    if (shape[i] == shape_[i]) continue;
    check(shape_[i] == 1, "expand: tensor {} to {}: only dimensions of size 1 can be repeated", shape_.str(),
          shape.str());
    result.strides_[static_cast<std::size_t>(i)] = 0;
  }
  result.shape_ = shape;
  return result;
}

void Tensor::check_on_host(const char* use) const {
  check(device() == Device::cpu, "tensor {}: {} of a tensor on {}; copy it to the cpu first", shape_.str(),
        use, name_of(device()));
}

void Tensor::copy_from_host(const void* values, std::size_t bytes) {
  if (bytes != 0) std::memcpy(raw(), values, bytes);
}

}  // namespace mt
