#pragma once
// Words that every part of the PTX machine uses: types, state spaces, lanes.

#include <cstdint>
#include <string_view>

namespace mt::ptx {

/// The type in an instruction's name or in a declaration (PTX ISA, "Fundamental types").
enum class Type : uint8_t {
  none,
  pred,
  b8,
  b16,
  b32,
  b64,
  u8,
  u16,
  u32,
  u64,
  s8,
  s16,
  s32,
  s64,
  bf16,
  bf16x2,
  tf32,
  f32,
  f64
};

/// Type::none for a word that is no type.
Type type_named(std::string_view word);
int bytes_of(Type type);
constexpr bool is_float(Type type) {
  return type == Type::f32 || type == Type::f64 || type == Type::bf16 || type == Type::tf32;
}
constexpr bool is_signed(Type type) {
  return type == Type::s8 || type == Type::s16 || type == Type::s32 || type == Type::s64;
}

enum class Space : uint8_t { generic, global, shared, local, parameter };

inline constexpr int kLanes = 32;
/// One bit per lane of a warp.
using LaneMask = uint32_t;
inline constexpr LaneMask kAllLanes = 0xffffffffU;
constexpr bool contains(LaneMask mask, int lane) {
  return (mask >> lane & 1) != 0;
}

/// How a result is rounded: to nearest even, towards zero, down, up, to nearest with ties away from zero.
enum class Rounding : uint8_t { nearest, zero, down, up, away };

struct Extent3 {
  uint32_t x = 1;
  uint32_t y = 1;
  uint32_t z = 1;
  uint64_t count() const { return uint64_t{x} * y * z; }
};

}  // namespace mt::ptx
