#include "kernels/copy/copy.h"

#include <cmath>
#include <cstring>

#include "tensor/check.h"

namespace mt {
namespace {

void strided(const void* source, std::span<const int64_t> dims, std::span<const int64_t> strides,
             void* target, int64_t element_bytes, Stream) {
  check(dims.size() == strides.size(), "copy: {} dimensions but {} strides", dims.size(), strides.size());
  int64_t elements = 1;
  for (const int64_t dim : dims) elements *= dim;
  for (int64_t i = 0; i < elements; ++i) {
    int64_t rest = i;
    int64_t offset = 0;
    for (std::size_t d = dims.size(); d-- > 0; rest /= dims[d]) offset += rest % dims[d] * strides[d];
    std::memcpy(static_cast<char*>(target) + i * element_bytes,
                static_cast<const char*>(source) + offset * element_bytes,
                static_cast<std::size_t>(element_bytes));
  }
}

template <typename S>
S element(const void* p, int64_t i) {
  S value;
  std::memcpy(&value, static_cast<const char*>(p) + i * static_cast<int64_t>(sizeof(S)), sizeof(S));
  return value;
}

double number(const void* p, DType type, int64_t i) {
  switch (type) {
    case DType::f32:
      return element<float>(p, i);
    case DType::f64:
      return element<double>(p, i);
    case DType::bf16:
      return bf16_to_float(element<uint16_t>(p, i));
    case DType::f16:
      return f16_to_float(element<uint16_t>(p, i));
    case DType::u8:
      return element<uint8_t>(p, i);
    case DType::i8:
      return element<int8_t>(p, i);
    case DType::i16:
      return element<int16_t>(p, i);
    case DType::i32:
      return element<int32_t>(p, i);
    case DType::i64:
      return static_cast<double>(element<int64_t>(p, i));
    case DType::boolean:
      return element<uint8_t>(p, i) != 0 ? 1 : 0;
  }
  fail("copy: {} is no element type", static_cast<int>(type));
}

template <typename S>
void put(void* p, int64_t i, S value) {
  std::memcpy(static_cast<char*>(p) + i * static_cast<int64_t>(sizeof(S)), &value, sizeof(S));
}

void put_number(void* target, DType type, int64_t i, double value) {
  if (type == DType::f32) {
    put(target, i, static_cast<float>(value));
  } else if (type == DType::f64) {
    put(target, i, value);
  } else if (type == DType::bf16) {
    put(target, i, float_to_bf16(static_cast<float>(value)));
  } else {
    check(value >= -0x1p63 && value < 0x1p63, "cast: element {} ({}) is no i64", i, value);
    put(target, i, static_cast<int64_t>(value));
  }
}

void cast(const void* source, DType source_type, void* target, DType target_type, int64_t n, Stream) {
  check(source_type == target_type || target_type == DType::f32 || target_type == DType::f64 ||
            target_type == DType::bf16 || target_type == DType::i64,
        "cast: {} to {} is not there; targets are f32, f64, bf16 and i64", name_of(source_type),
        name_of(target_type));
  if (source_type == target_type) {
    for (std::size_t i = 0; i < static_cast<std::size_t>(n) * size_of(source_type); ++i) {
      static_cast<char*>(target)[i] = static_cast<const char*>(source)[i];
    }
    return;
  }
  for (int64_t i = 0; i < n; ++i) {
    if (source_type == DType::i64 && target_type == DType::f32) {  // one rounding, not two
      put(target, i, static_cast<float>(element<int64_t>(source, i)));
    } else {
      put_number(target, target_type, i, number(source, source_type, i));
    }
  }
}

void image_to_float(const uint8_t* images, double* y, int64_t n, int64_t pixels, const ImageScaling& scaling,
                    Stream) {
  for (int64_t i = 0; i < n * pixels; ++i) {
    for (int64_t c = 0; c < 3; ++c) {
      const int64_t from = scaling.swap_red_blue ? 2 - c : c;
      const auto channel = static_cast<std::size_t>(c);
      y[i * 3 + c] = (images[i * 3 + from] / 255.0 - static_cast<double>(scaling.mean[channel])) /
                     static_cast<double>(scaling.std[channel]);
    }
  }
}

}  // namespace

template <>
const Copy<double>& copy<double>(Device device) {
  check(device == Device::cpu, "copy: the double reference runs on the cpu only, not on {}", name_of(device));
  static constexpr Copy<double> table{strided, cast, image_to_float};
  return table;
}

}  // namespace mt
