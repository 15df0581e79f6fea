// Scores and masks, a register at a time. Included once per instruction set, inside a file that uses
// foreach_target.h: hence no `#pragma once`.

#if defined(MT_KERNELS_COMMON_SCORES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MT_KERNELS_COMMON_SCORES_INL_H_
#undef MT_KERNELS_COMMON_SCORES_INL_H_
#else
#define MT_KERNELS_COMMON_SCORES_INL_H_
#endif

#include <hwy/highway.h>

#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace mt::HWY_NAMESPACE {

using ScoreLanes = hwy::HWY_NAMESPACE::ScalableTag<float>;
using ScoreVector = hwy::HWY_NAMESPACE::Vec<ScoreLanes>;
using RowMask = hwy::HWY_NAMESPACE::Mask<ScoreLanes>;

/// scores[i …] of scores: (n); lanes from n on are 0, and rows_taking_part() leaves them out.
HWY_INLINE ScoreVector scores_at(const float* scores, int64_t i, int64_t n) {
  namespace hn = hwy::HWY_NAMESPACE;
  const ScoreLanes d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  if (HWY_LIKELY(i + lanes <= n)) return hn::LoadU(d, scores + i);
  HWY_ALIGN float rest[HWY_MAX_BYTES / sizeof(float)] = {};
  for (int64_t k = i; k < n; ++k) rest[k - i] = scores[k];
  return hn::Load(d, rest);
}

/// Of the rows i, i + 1, …: those below n whose mask is not 0. mask: (n), or null for all.
HWY_INLINE RowMask rows_taking_part(const uint8_t* mask, int64_t i, int64_t n) {
  namespace hn = hwy::HWY_NAMESPACE;
  const ScoreLanes d;
  const hn::Rebind<uint32_t, ScoreLanes> d32;
  const hn::Rebind<uint8_t, ScoreLanes> d8;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  if (HWY_LIKELY(i + lanes <= n)) {
    if (mask == nullptr) return hn::FirstN(d, static_cast<std::size_t>(lanes));
    return hn::RebindMask(d, hn::Ne(hn::PromoteTo(d32, hn::LoadU(d8, mask + i)), hn::Zero(d32)));
  }
  HWY_ALIGN uint32_t rest[HWY_MAX_BYTES / sizeof(uint32_t)] = {};
  for (int64_t k = i; k < n; ++k) rest[k - i] = mask == nullptr ? 1 : mask[k];
  return hn::RebindMask(d, hn::Ne(hn::Load(d32, rest), hn::Zero(d32)));
}

}  // namespace mt::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // once per instruction set
