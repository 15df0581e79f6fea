#pragma once
// What a value is: typed, shaped, strided memory on a device. There is no arithmetic here (kernels/ has it).

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "tensor/check.h"
#include "tensor/device.h"
#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace mt {

/// A block of memory that several tensors may view. `version` counts writes through mutable access by
/// operations that announce them (autograd compares it to find values that were overwritten after they were
/// saved).
class Storage {
 public:
  Storage(std::size_t bytes, Device device);
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  void* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }
  Device device() const { return device_; }
  uint64_t version() const { return version_.load(std::memory_order_relaxed); }
  /// Announces a write in place by the operation `writer` (a string literal).
  void bump_version(const char* writer);
  const char* last_writer() const { return last_writer_; }

 private:
  void* data_;
  std::size_t bytes_;
  Device device_;
  std::atomic<uint64_t> version_{0};
  const char* last_writer_ = "nobody";
};

/// A strided view of a storage. Copying a Tensor copies the handle, never the elements. Strides count
/// elements.
class Tensor {
 public:
  /// No storage; defined() is false.
  Tensor() = default;
  /// Uninitialised, contiguous.
  static Tensor empty(const Shape& shape, DType dtype = DType::f32, Device device = Device::cpu);
  /// A contiguous CPU tensor with a copy of `values`, which must have shape.numel() elements.
  template <typename T>
  static Tensor of(std::span<const T> values, const Shape& shape);
  template <typename T>
  static Tensor of(const std::vector<T>& values, const Shape& shape) {
    return of(std::span<const T>(values), shape);
  }
  /// A view of an existing storage. Throws when an element would lie outside of it.
  static Tensor view_of(std::shared_ptr<Storage> storage, int64_t offset, const Shape& shape,
                        std::span<const int64_t> strides, DType dtype);

  bool defined() const { return storage_ != nullptr; }
  const Shape& shape() const { return shape_; }
  int rank() const { return shape_.rank(); }
  /// Size of dimension i; negative i counts from the end.
  int64_t dim(int i) const { return shape_[i]; }
  int64_t stride(int i) const;
  int64_t numel() const { return shape_.numel(); }
  std::size_t bytes() const { return static_cast<std::size_t>(numel()) * size_of(dtype_); }
  DType dtype() const { return dtype_; }
  Device device() const;
  /// Row-major without gaps.
  bool is_contiguous() const;
  const std::shared_ptr<Storage>& storage() const { return storage_; }
  /// Elements between the storage's start and this view's first element.
  int64_t offset() const { return offset_; }

  /// First element. Throws when T is not the tensor's dtype. Only a cpu tensor's elements may be touched by
  /// host code; those of the others are for kernels and copies.
  template <typename T>
  T* data() const {
    check(dtype_of<T> == dtype_, "tensor {}: is {}, used as {}", shape_.str(), name_of(dtype_),
          name_of(dtype_of<T>));
    return static_cast<T*>(raw());
  }
  void* raw() const;
  /// The elements of a contiguous tensor on the cpu.
  template <typename T>
  std::span<T> span() const {
    check(is_contiguous(), "tensor {}: span() needs a contiguous tensor", shape_.str());
    check_on_host("span()");
    return {data<T>(), static_cast<std::size_t>(numel())};
  }
  /// The only element of a one-element tensor on the cpu.
  template <typename T>
  T item() const {
    check(numel() == 1, "tensor {}: item() needs one element", shape_.str());
    check_on_host("item()");
    return *data<T>();
  }

  // Views: same storage, no copy.
  /// Same elements in another shape; the tensor must be contiguous. One dimension may be -1.
  Tensor view(std::initializer_list<int64_t> dims) const {
    return view(std::span(dims.begin(), dims.size()));
  }
  Tensor view(std::span<const int64_t> dims) const;
  Tensor view(const Shape& shape) const { return view(shape.dims()); }
  /// Elements [begin, end) along dimension `dim`.
  Tensor slice(int dim, int64_t begin, int64_t end) const;
  /// Element `index` of dimension `dim`, which disappears.
  Tensor select(int dim, int64_t index) const;
  Tensor permute(std::initializer_list<int> order) const;
  Tensor transpose(int a, int b) const;
  /// Repeats dimensions of size 1 with stride 0.
  Tensor expand(const Shape& shape) const;

 private:
  std::shared_ptr<Storage> storage_;
  int64_t offset_ = 0;
  Shape shape_;
  std::array<int64_t, Shape::kMaxRank> strides_{};
  DType dtype_ = DType::f32;

  void copy_from_host(const void* values, std::size_t bytes);
  void check_on_host(const char* use) const;
};

template <typename T>
Tensor Tensor::of(std::span<const T> values, const Shape& shape) {
  check(static_cast<int64_t>(values.size()) == shape.numel(), "tensor {}: {} values given", shape.str(),
        values.size());
  Tensor tensor = empty(shape, dtype_of<T>);
  tensor.copy_from_host(values.data(), values.size_bytes());
  return tensor;
}

}  // namespace mt
