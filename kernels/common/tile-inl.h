// A small matrix product in registers: a few rows times a panel of 16 columns. Included once per instruction
// set, inside a file that uses foreach_target.h: hence no `#pragma once`.

#if defined(MT_KERNELS_COMMON_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MT_KERNELS_COMMON_TILE_INL_H_
#undef MT_KERNELS_COMMON_TILE_INL_H_
#else
#define MT_KERNELS_COMMON_TILE_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <utility>

#include "kernels/common/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace mt::HWY_NAMESPACE {

/// Rows of a tile: as many as keep all sums in registers. Each sum runs over k in order whatever this number
/// is.
inline constexpr int64_t kTileRows = Lanes::kRegisters <= 4 ? 12 / Lanes::kRegisters : 1;

template <std::size_t... r>
HWY_INLINE void TileSteps(const float* const* a, const float* panel, int64_t depth, Lanes::Value* sums,
                          std::index_sequence<r...>) {
  Lanes::Value sum[sizeof...(r)] = {sums[r]...};
  for (int64_t k = 0; k < depth; ++k) {
    const auto b = Lanes::load(panel + k * kLanes);
    ((sum[r] = Lanes::mul_add(Lanes::set(a[r][k]), b, sum[r])), ...);
  }
  ((sums[r] = sum[r]), ...);
}

/// c[r, 0…16) (+)= sum over k of a[r,k] panel[k, 0…16) for `rows` rows of a (stride a_stride) and c (stride
/// c_stride). panel: (depth, 16). c must have room for `rows` rounded up to kTileRows; the rows beyond hold
/// garbage afterwards.
HWY_INLINE void TileProduct(const float* a, int64_t a_stride, int64_t rows, const float* panel, int64_t depth,
                            float* c, int64_t c_stride, bool accumulate) {
  for (int64_t first = 0; first < rows; first += kTileRows) {
    const float* row[kTileRows];
    Lanes::Value sums[kTileRows];
    for (int64_t r = 0; r < kTileRows; ++r) {
      row[r] = a + std::min(first + r, rows - 1) * a_stride;
      sums[r] = accumulate ? Lanes::load(c + (first + r) * c_stride) : Lanes::set(0.0F);
    }
    TileSteps(row, panel, depth, sums, std::make_index_sequence<kTileRows>());
    for (int64_t r = 0; r < kTileRows; ++r) Lanes::store(sums[r], c + (first + r) * c_stride, kLanes);
  }
}

}  // namespace mt::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
