#pragma once
// Element types of tensors.

#include <cstddef>
#include <cstdint>

namespace mt {

/// bf16 and f16 are storage types: files hold them, kernels widen them to f32.
enum class DType : uint8_t { f32, f64, bf16, f16, u8, i8, i16, i32, i64, boolean };

/// Bytes of one element.
std::size_t size_of(DType dtype);
/// "f32", "i64", …
const char* name_of(DType dtype);

/// The DType of a C++ type: `dtype_of<float>` is DType::f32.
template <typename T>
inline constexpr DType dtype_of = DType::f32;
template <>
inline constexpr DType dtype_of<double> = DType::f64;
template <>
inline constexpr DType dtype_of<uint8_t> = DType::u8;
template <>
inline constexpr DType dtype_of<int8_t> = DType::i8;
template <>
inline constexpr DType dtype_of<int16_t> = DType::i16;
template <>
inline constexpr DType dtype_of<int32_t> = DType::i32;
template <>
inline constexpr DType dtype_of<int64_t> = DType::i64;
template <>
inline constexpr DType dtype_of<bool> = DType::boolean;

/// Widens the bits of a bfloat16 / IEEE half to float, exactly.
float bf16_to_float(uint16_t bits);
float f16_to_float(uint16_t bits);
/// Rounds to the nearest bfloat16, ties to even; NaN stays NaN.
uint16_t float_to_bf16(float value);

}  // namespace mt
