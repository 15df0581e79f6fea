#include "train/feature_files/names_and_shapes.h"

#include <fmt/format.h>

#include <cmath>

#include "tensor/dtype.h"
#include "tensor/io/dense.h"
#include "tensor/text.h"

namespace mt::train {
namespace {

/// Element i of a contiguous tensor; NaN for a type that is no number.
double number_at(const Tensor& tensor, int64_t i) {
  const auto read = [&](auto zero) {
    return static_cast<double>(static_cast<const decltype(zero)*>(tensor.raw())[i]);
  };
  switch (tensor.dtype()) {
    case DType::f64:
      return read(double{});
    case DType::f32:
      return read(float{});
    case DType::f16:
      return static_cast<double>(f16_to_float(static_cast<const uint16_t*>(tensor.raw())[i]));
    case DType::bf16:
      return static_cast<double>(bf16_to_float(static_cast<const uint16_t*>(tensor.raw())[i]));
    case DType::i64:
      return read(int64_t{});
    case DType::i32:
      return read(int32_t{});
    case DType::i16:
      return read(int16_t{});
    case DType::i8:
      return read(int8_t{});
    case DType::u8:
      return read(uint8_t{});
    default:
      return NAN;
  }
}

}  // namespace

std::vector<std::string> feature_names(const std::string& key) {
  if (!key.empty()) return {key};
  return {"features", "feats", "embeddings"};
}

std::string no_features(const std::vector<std::string>& names, const std::string& key) {
  constexpr std::size_t kShown = 12;
  std::string list;
  for (std::size_t i = 0; i < names.size() && i < kShown; ++i)
    list += (i == 0 ? "" : ", ") + printable(names[i], 60);
  if (names.size() > kShown) list += fmt::format(" and {} more", names.size() - kShown);
  const std::string wanted = key.empty() ? "features (nor feats or embeddings)" : printable(key, 60);
  if (names.empty()) return fmt::format("holds no {}; it is empty", wanted);
  return fmt::format("holds no {}; it has {}: name the one that is meant with --features-key", wanted, list);
}

Tensor as_matrix(const Tensor& tensor) {
  if (tensor.rank() != 3) return tensor;
  if (tensor.dim(0) == 1) return tensor.select(0, 0);
  if (tensor.dim(1) == 1) return tensor.select(1, 0);
  return tensor;
}

Tensor usable_coords(const Tensor& coords, int64_t patches) {
  constexpr double kMost = 1e9;
  const Tensor matrix = as_matrix(coords);
  if (matrix.rank() != 2 || matrix.dim(0) != patches || (matrix.dim(1) != 2 && matrix.dim(1) != 4)) return {};
  const Tensor values = dense(matrix);
  Tensor corners = Tensor::empty(Shape({patches, 2}), DType::i64);  // (N,2)
  for (int64_t i = 0; i < patches; ++i) {
    for (int64_t axis = 0; axis < 2; ++axis) {
      const double value = number_at(values, i * values.dim(1) + axis);
      if (!(std::abs(value) < kMost)) return {};
      corners.data<int64_t>()[2 * i + axis] = std::llround(value);
    }
  }
  return corners;
}

}  // namespace mt::train
