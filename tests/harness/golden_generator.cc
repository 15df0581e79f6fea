#include "tests/harness/golden_generator.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tensor/check.h"
#include "tests/harness/places.h"

namespace mt::testing {
namespace {

uint64_t splitmix64(uint64_t x) {
  x += 0x9E3779B97F4A7C15U;
  uint64_t z = x;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
  return z ^ (z >> 31);
}

template <typename T>
std::vector<double> widened_elements(const Tensor& tensor) {
  const auto values = tensor.span<T>();
  return {values.begin(), values.end()};
}

Tensor filled_tensor(const std::string& name, const Shape& shape, uint64_t seed, uint64_t stream) {
  const Tensor tensor = golden_values(seed, stream, shape);
  float factor = 0.125F;  // biases, running means
  float shift = 0;
  if (shape.rank() >= 2) {
    factor = static_cast<float>(
        std::sqrt(6.0 / (static_cast<double>(shape.numel()) / static_cast<double>(shape[0]))));
  } else if (name.ends_with(".weight")) {
    factor = 0.25F;
    shift = 1;
  } else if (name.ends_with("running_var")) {
    factor = 0.5F;
    shift = 1;
  }
  for (float& value : tensor.span<float>()) value = shift + value * factor;
  return tensor;
}

}  // namespace

NpzFile open_golden(const std::string& name) {
  return NpzFile(golden_path(name));
}

std::vector<double> doubles_of(const Tensor& tensor) {
  switch (tensor.dtype()) {
    case DType::f32:
      return widened_elements<float>(tensor);
    case DType::f64:
      return widened_elements<double>(tensor);
    case DType::i64:
      return widened_elements<int64_t>(tensor);
    case DType::u8:
      return widened_elements<uint8_t>(tensor);
    default:
      fail("golden data: arrays of {} are not expected", name_of(tensor.dtype()));
  }
}

std::vector<double> golden_doubles(const NpzFile& file, const std::string& name) {
  return doubles_of(file[name]);
}

uint64_t golden_bits(uint64_t seed, uint64_t stream, uint64_t i) {
  return splitmix64(seed * 0xD1342543DE82EF95U + (stream << 40) + i);
}

float golden_value(uint64_t seed, uint64_t stream, uint64_t i) {
  const auto high = static_cast<int32_t>(golden_bits(seed, stream, i) >> 40);
  return static_cast<float>(high - (1 << 23)) * 0x1p-23F;
}

uint8_t golden_byte(uint64_t seed, uint64_t stream, uint64_t i) {
  return static_cast<uint8_t>(golden_bits(seed, stream, i) >> 56);
}

Tensor golden_values(uint64_t seed, uint64_t stream, const Shape& shape) {
  const Tensor tensor = Tensor::empty(shape);
  uint64_t i = 0;
  for (float& value : tensor.span<float>()) value = golden_value(seed, stream, i++);
  return tensor;
}

Tensor golden_images(uint64_t seed, uint64_t stream, const Shape& shape) {
  const Tensor tensor = Tensor::empty(shape);
  uint64_t i = 0;
  for (float& value : tensor.span<float>())
    value = static_cast<float>(golden_byte(seed, stream, i++)) / 255.0F;
  return tensor;
}

NamedTensors golden_weights(const NamedTensors& like, uint64_t seed) {
  NamedTensors weights;
  uint64_t number = 0;
  for (const auto& [name, tensor] : like) {
    const Tensor filled = tensor.dtype() == DType::i64 ? Tensor::of(std::vector<int64_t>{0}, Shape{})
                                                       : filled_tensor(name, tensor.shape(), seed, number);
    weights.emplace_back(name, filled);
    ++number;
  }
  return weights;
}

Digest digest_of(std::span<const double> values, uint64_t stream) {
  Digest digest{};
  const std::size_t n = values.size();
  if (n == 0) return digest;
  for (std::size_t i = 0; i < n; ++i) {
    digest[0] += values[i];
    digest[1] += values[i] * values[i];
    digest[2] += values[i] * static_cast<double>(golden_value(977, stream, i));
  }
  digest[3] = *std::min_element(values.begin(), values.end());
  digest[4] = *std::max_element(values.begin(), values.end());
  for (std::size_t k = 0; k < 32; ++k) digest[5 + k] = values[k * n / 32];
  return digest;
}

uint32_t crc32_of(const void* data, std::size_t bytes) {
  static const auto kTable = [] {
    std::array<uint32_t, 256> table{};
    for (uint32_t i = 0; i < 256; ++i) {
      uint32_t value = i;
      for (int bit = 0; bit < 8; ++bit) value = (value & 1U) != 0 ? 0xEDB88320U ^ (value >> 1) : value >> 1;
      table[i] = value;
    }
    return table;
  }();
  uint32_t crc = 0xFFFFFFFFU;
  const auto* byte = static_cast<const unsigned char*>(data);
  for (std::size_t i = 0; i < bytes; ++i) crc = kTable[(crc ^ byte[i]) & 0xFFU] ^ (crc >> 8);
  return crc ^ 0xFFFFFFFFU;
}

uint32_t crc32_of(const Tensor& f32) {
  const auto values = f32.span<float>();
  return crc32_of(values.data(), values.size_bytes());
}

void expect_digest(std::span<const double> values, const Tensor& digests, int64_t row, uint64_t stream,
                   double relative, const std::string& what) {
  const double* want = digests.data<double>() + row * 37;
  const Digest got = digest_of(values, stream);
  double sum_of_magnitudes = 0;
  double largest = 0;
  for (const double value : values) {
    sum_of_magnitudes += std::abs(value);
    largest = std::max(largest, std::abs(value));
  }
  const double count = static_cast<double>(values.size());
  const double element = relative * largest;
  const char* const names[] = {"sum", "sum of squares", "projection", "minimum", "maximum"};
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double bound = i == 0 || i == 2 ? element * count
                         : i == 1         ? 2 * element * sum_of_magnitudes
                                          : element;
    const double error = std::abs(got[i] - want[i]);
    EXPECT_TRUE(error <= bound) << what << ", " << (i < 5 ? names[i] : "sample") << " " << i << ": got "
                                << got[i] << ", want " << want[i] << ", error " << error << " > bound "
                                << bound;
    if (!(error <= bound)) return;
  }
}

void expect_close(std::span<const double> got, std::span<const double> want, double relative,
                  const std::string& what, double absolute) {
  ASSERT_EQ(got.size(), want.size()) << what;
  double largest = 0;
  for (const double value : want) largest = std::max(largest, std::abs(value));
  const double bound = relative * largest + absolute;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double error = std::abs(got[i] - want[i]);
    ASSERT_TRUE(error <= bound) << what << "[" << i << "]: got " << got[i] << ", want " << want[i]
                                << ", error " << error << " > bound " << bound;
  }
}

}  // namespace mt::testing
