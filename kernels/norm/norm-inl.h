// The loops of instance and batch normalisation over one image and up to 64 channels. Included once per
// instruction set by norm_cpu.cc: hence no `#pragma once`.

#ifndef MT_KERNELS_NORM_NORM_SLAB_H_
#define MT_KERNELS_NORM_NORM_SLAB_H_
#include <array>
#include <cstdint>

namespace mt::norm_cpu {

/// Channels that one task handles: four times 16 lanes.
inline constexpr int64_t kBlock = 64;
/// Pixels whose sums are taken together before they are merged; their values stay in the first-level cache.
inline constexpr int64_t kPixelBlock = 64;

/// One image's pixels in a block of `channels` <= 64 channels; neighbouring pixels are `stride` floats apart.
struct Slab {
  int64_t pixels;
  int64_t stride;
  int64_t channels;
};

/// Per-channel coefficients, channels beyond the slab's are 0.
struct Coefficients {
  alignas(64) std::array<float, kBlock> values{};
};

struct BackwardCoefficients {
  Coefficients mean;
  Coefficients scale;       // gamma · inv_std
  Coefficients mean_g;      // mean of g, 0 for frozen statistics
  Coefficients projection;  // inv_std² · mean of g (x − mean), 0 for frozen statistics
};

}  // namespace mt::norm_cpu
#endif

#if defined(MT_KERNELS_NORM_NORM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MT_KERNELS_NORM_NORM_INL_H_
#undef MT_KERNELS_NORM_NORM_INL_H_
#else
#define MT_KERNELS_NORM_NORM_INL_H_
#endif

#include "kernels/common/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace mt::HWY_NAMESPACE {

using norm_cpu::BackwardCoefficients;
using norm_cpu::Coefficients;
using norm_cpu::kPixelBlock;
using norm_cpu::Slab;

// Calls f(groups, first channel, lanes of the last group) for 4 groups of 16 lanes at once, or one by one.
template <typename F>
HWY_INLINE void for_each_group(const Slab& slab, const F& f) {
  if (slab.channels == 4 * kLanes) {
    f(std::integral_constant<int, 4>{}, 0, kLanes);
    return;
  }
  for (int64_t first = 0; first < slab.channels; first += kLanes) {
    f(std::integral_constant<int, 1>{}, first, std::min(kLanes, slab.channels - first));
  }
}

// mean and m2 = Σ (x − mean)² per channel. Pixel blocks are measured in two passes, as offsets from the mean
// of the first one, and merged (Chan, Golub & LeVeque 1983).
template <int G>
HWY_INLINE void statistics_of_groups(const float* x, const Slab& slab, int64_t n, float* mean, float* m2) {
  const Lanes lanes;
  Lanes::Value pivot[G];
  Lanes::Value total_mean[G];
  Lanes::Value total_m2[G];
  for (int g = 0; g < G; ++g) pivot[g] = total_mean[g] = total_m2[g] = lanes.set(0.0F);
  const auto block_mean = [&](int64_t begin, int64_t end, Lanes::Value* out) HWY_ATTR {
    Lanes::Value sum[G];
    for (int g = 0; g < G; ++g) sum[g] = lanes.set(0.0F);
    for (int64_t p = begin; p < end; ++p) {
      for (int g = 0; g < G; ++g) {
        const auto v = lanes.load_or(x + p * slab.stride + g * kLanes, n, 0.0F);
        sum[g] = lanes.add(sum[g], lanes.sub(v, pivot[g]));
      }
    }
    const auto count = lanes.set(static_cast<float>(end - begin));
    for (int g = 0; g < G; ++g) out[g] = lanes.div(sum[g], count);
  };
  block_mean(0, std::min(kPixelBlock, slab.pixels), pivot);
  for (int64_t begin = 0; begin < slab.pixels; begin += kPixelBlock) {
    const int64_t end = std::min(begin + kPixelBlock, slab.pixels);
    Lanes::Value offset[G];
    Lanes::Value squares[G];
    block_mean(begin, end, offset);
    for (int g = 0; g < G; ++g) squares[g] = lanes.set(0.0F);
    for (int64_t p = begin; p < end; ++p) {
      for (int g = 0; g < G; ++g) {
        const auto v = lanes.load_or(x + p * slab.stride + g * kLanes, n, 0.0F);
        const auto d = lanes.sub(lanes.sub(v, pivot[g]), offset[g]);
        squares[g] = lanes.mul_add(d, d, squares[g]);
      }
    }
    const auto before = static_cast<float>(begin);
    const auto count = static_cast<float>(end - begin);
    const auto share = lanes.set(count / (before + count));
    const auto weight = lanes.set(before * (count / (before + count)));
    for (int g = 0; g < G; ++g) {
      const auto delta = lanes.sub(offset[g], total_mean[g]);
      total_mean[g] = lanes.mul_add(delta, share, total_mean[g]);
      total_m2[g] = lanes.add(total_m2[g], lanes.mul_add(lanes.mul(delta, delta), weight, squares[g]));
    }
  }
  for (int g = 0; g < G; ++g) {
    lanes.store(lanes.add(pivot[g], total_mean[g]), mean + g * kLanes, n);
    lanes.store(total_m2[g], m2 + g * kLanes, n);
  }
}

void NormStatistics(const float* x, const Slab& slab, float* mean, float* m2) {
  for_each_group(slab, [&](auto groups, int64_t first, int64_t n) HWY_ATTR {
    statistics_of_groups<groups.value>(x + first, slab, n, mean + first, m2 + first);
  });
}

// What y of G groups of lanes is made of.
template <int G>
struct AffineOfGroups {
  Lanes::Value mean[G];
  Lanes::Value scale[G];
  Lanes::Value beta[G];
  const float* residual;
  bool relu;

  HWY_INLINE AffineOfGroups(const Coefficients& m, const Coefficients& s, const Coefficients& b,
                            const float* residual_or_null, bool with_relu, int64_t first)
      : residual(residual_or_null), relu(with_relu) {
    for (int g = 0; g < G; ++g) {
      mean[g] = Lanes::load(m.values.data() + first + g * kLanes);
      scale[g] = Lanes::load(s.values.data() + first + g * kLanes);
      beta[g] = Lanes::load(b.values.data() + first + g * kLanes);
    }
  }
  // act((x − mean) · scale + beta + residual) of n lanes from element i on, of group g.
  HWY_INLINE Lanes::Value value(const float* x, int64_t i, int64_t n, int g) const {
    auto v = Lanes::mul_add(Lanes::sub(Lanes::load_or(x + i, n, 0.0F), mean[g]), scale[g], beta[g]);
    if (residual != nullptr) v = Lanes::add(v, Lanes::load_or(residual + i, n, 0.0F));
    return relu ? Lanes::relu(v) : v;
  }
};

void NormApply(const float* x, const float* residual, bool relu, const Slab& slab, const Coefficients& mean,
               const Coefficients& scale, const Coefficients& beta, float* y) {
  for_each_group(slab, [&](auto groups, int64_t first, int64_t n) HWY_ATTR {
    constexpr int G = groups.value;
    const AffineOfGroups<G> affine(mean, scale, beta, residual, relu, first);
    for (int64_t p = 0; p < slab.pixels; ++p) {
      for (int g = 0; g < G; ++g) {
        const int64_t i = p * slab.stride + first + g * kLanes;
        Lanes::store(affine.value(x, i, n, g), y + i, n);
      }
    }
  });
}

// average = the mean of that y over the pixels, added as kernels/pool does: blocks of 64 pixels in order,
// then the blocks.
void NormAverage(const float* x, const float* residual, bool relu, const Slab& slab, const Coefficients& mean,
                 const Coefficients& scale, const Coefficients& beta, float* average) {
  for_each_group(slab, [&](auto groups, int64_t first, int64_t n) HWY_ATTR {
    constexpr int G = groups.value;
    const AffineOfGroups<G> affine(mean, scale, beta, residual, relu, first);
    Lanes::Value total[G];
    for (int g = 0; g < G; ++g) total[g] = Lanes::set(0.0F);
    for (int64_t begin = 0; begin < slab.pixels; begin += kPixelBlock) {
      Lanes::Value sum[G];
      for (int g = 0; g < G; ++g) sum[g] = Lanes::set(0.0F);
      for (int64_t p = begin; p < std::min(slab.pixels, begin + kPixelBlock); ++p) {
        for (int g = 0; g < G; ++g) {
          const int64_t i = p * slab.stride + first + g * kLanes;
          sum[g] = Lanes::add(sum[g], affine.value(x, i, n, g));
        }
      }
      for (int g = 0; g < G; ++g) total[g] = Lanes::add(total[g], sum[g]);
    }
    const auto count = Lanes::set(static_cast<float>(slab.pixels));
    for (int g = 0; g < G; ++g) Lanes::store(Lanes::div(total[g], count), average + first + g * kLanes, n);
  });
}

// sum = Σ g and product = Σ g (x − mean) per channel, g = dy behind the mask y > 0 (y is nullptr: no mask).
void NormGradientSums(const float* x, const float* y, const float* dy, const Slab& slab,
                      const Coefficients& mean, float* sum, float* product) {
  const Lanes lanes;
  for_each_group(slab, [&](auto groups, int64_t first, int64_t n) HWY_ATTR {
    constexpr int G = groups.value;
    Lanes::Value m[G];
    Lanes::Value total_sum[G];
    Lanes::Value total_product[G];
    for (int g = 0; g < G; ++g) {
      m[g] = lanes.load(mean.values.data() + first + g * kLanes);
      total_sum[g] = total_product[g] = lanes.set(0.0F);
    }
    for (int64_t begin = 0; begin < slab.pixels; begin += kPixelBlock) {
      const int64_t end = std::min(begin + kPixelBlock, slab.pixels);
      Lanes::Value block_sum[G];
      Lanes::Value block_product[G];
      for (int g = 0; g < G; ++g) block_sum[g] = block_product[g] = lanes.set(0.0F);
      for (int64_t p = begin; p < end; ++p) {
        for (int g = 0; g < G; ++g) {
          const int64_t i = p * slab.stride + first + g * kLanes;
          auto v = lanes.load_or(dy + i, n, 0.0F);
          if (y != nullptr) v = lanes.where_positive(lanes.load_or(y + i, n, 0.0F), v);
          block_sum[g] = lanes.add(block_sum[g], v);
          const auto centred = lanes.sub(lanes.load_or(x + i, n, 0.0F), m[g]);
          block_product[g] = lanes.mul_add(v, centred, block_product[g]);
        }
      }
      for (int g = 0; g < G; ++g) {
        total_sum[g] = lanes.add(total_sum[g], block_sum[g]);
        total_product[g] = lanes.add(total_product[g], block_product[g]);
      }
    }
    for (int g = 0; g < G; ++g) {
      lanes.store(total_sum[g], sum + first + g * kLanes, n);
      lanes.store(total_product[g], product + first + g * kLanes, n);
    }
  });
}

// dx = scale · ((g − mean_g) − (x − mean) · projection); dresidual = g. Either output may be nullptr.
void NormGradient(const float* x, const float* y, const float* dy, const Slab& slab,
                  const BackwardCoefficients& k, float* dx, float* dresidual) {
  const Lanes lanes;
  for_each_group(slab, [&](auto groups, int64_t first, int64_t n) HWY_ATTR {
    constexpr int G = groups.value;
    for (int64_t p = 0; p < slab.pixels; ++p) {
      for (int g = 0; g < G; ++g) {
        const int64_t i = p * slab.stride + first + g * kLanes;
        const int64_t ch = first + g * kLanes;
        auto v = lanes.load_or(dy + i, n, 0.0F);
        if (y != nullptr) v = lanes.where_positive(lanes.load_or(y + i, n, 0.0F), v);
        if (dx != nullptr) {
          const auto centred =
              lanes.sub(lanes.load_or(x + i, n, 0.0F), lanes.load(k.mean.values.data() + ch));
          const auto along = lanes.mul(centred, lanes.load(k.projection.values.data() + ch));
          const auto rest = lanes.sub(lanes.sub(v, lanes.load(k.mean_g.values.data() + ch)), along);
          lanes.store(lanes.mul(rest, lanes.load(k.scale.values.data() + ch)), dx + i, n);
        }
        if (dresidual != nullptr) lanes.store(v, dresidual + i, n);
      }
    }
  });
}

}  // namespace mt::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
