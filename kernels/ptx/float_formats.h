#pragma once
// The short floating-point formats: what cvt makes, and what tensor cores read.

#include <bit>
#include <cmath>
#include <cstdint>

namespace mt::ptx {

inline float of_bf16(uint16_t bits) {
  return std::bit_cast<float>(uint32_t{bits} << 16);
}
/// To nearest even; NaN becomes the canonical 0x7fff.
inline uint16_t to_bf16(float value) {
  if (std::isnan(value)) return 0x7fff;
  const auto bits = std::bit_cast<uint32_t>(value);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/// The low 13 bits of a float, which TF32 does not have.
inline constexpr uint32_t kBelowTf32 = 0x1fff;
/// cvt.rna: to nearest, ties away from zero; cvt.rn: ties to even. Infinities and NaN stay.
inline float to_tf32(float value, bool ties_away) {
  const auto bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7f800000U) == 0x7f800000U) return value;
  const uint32_t half = ties_away ? 0x1000U : 0xfffU + (bits >> 13 & 1);
  return std::bit_cast<float>((bits + half) & ~kBelowTf32);
}
/// What a tensor core reads of a float: the rest is cut off.
inline float as_tf32(uint32_t bits) {
  return std::bit_cast<float>(bits & ~kBelowTf32);
}

}  // namespace mt::ptx
