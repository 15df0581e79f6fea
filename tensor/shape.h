#pragma once
// Sizes of a tensor's dimensions.

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

namespace mt {

/// Up to eight dimensions, outermost first. A shape of rank 0 is a scalar with one element.
class Shape {
 public:
  static constexpr int kMaxRank = 8;

  Shape() = default;
  Shape(std::initializer_list<int64_t> dims) : Shape(std::span<const int64_t>(dims.begin(), dims.size())) {}
  /// Throws when there are more than kMaxRank dimensions, one is negative, or the product passes 2^62.
  explicit Shape(std::span<const int64_t> dims);

  int rank() const { return rank_; }
  /// Size of dimension `i`; negative i counts from the end.
  int64_t operator[](int i) const;
  /// Product of the dimensions.
  int64_t numel() const;
  std::span<const int64_t> dims() const { return {dims_.data(), static_cast<std::size_t>(rank_)}; }
  /// "(2,3,224,224)"
  std::string str() const;
  bool operator==(const Shape& other) const = default;

 private:
  std::array<int64_t, kMaxRank> dims_{};
  int rank_ = 0;
};

}  // namespace mt
