#pragma once
// Smooth random fields over the plane: what gives islands their outline, regions their wavy borders and
// collagen its fibres.

#include <cstdint>
#include <vector>

#include "tensor/rng.h"

namespace mt::wsi {

/// Value noise: standard normal numbers on a square lattice, joined by a smooth step. Repeats after kPeriod
/// lattice cells, which no slide is large enough to show.
class NoiseField {
 public:
  /// `wavelength_um` is the lattice spacing; features are about twice as wide.
  NoiseField(RandomStream& random, float wavelength_um);
  /// About N(0, 0.5^2) at a random place.
  float operator()(float x_um, float y_um) const {
    const float x = x_um * cells_per_um_;
    const float y = y_um * cells_per_um_;
    const int ix = floor_of(x);
    const int iy = floor_of(y);
    const float tx = smooth(x - static_cast<float>(ix));
    const float ty = smooth(y - static_cast<float>(iy));
    const float* top = lattice_.data() + (iy & (kPeriod - 1)) * kPeriod;
    const float* bottom = lattice_.data() + ((iy + 1) & (kPeriod - 1)) * kPeriod;
    const int x0 = ix & (kPeriod - 1);
    const int x1 = (ix + 1) & (kPeriod - 1);
    const float above = top[x0] + tx * (top[x1] - top[x0]);
    const float below = bottom[x0] + tx * (bottom[x1] - bottom[x0]);
    return above + ty * (below - above);
  }

 private:
  static int floor_of(float value) {
    const int truncated = static_cast<int>(value);
    return truncated - static_cast<int>(value < static_cast<float>(truncated));
  }
  static float smooth(float t) { return t * t * (3.0F - 2.0F * t); }

  static constexpr int kPeriod = 64;
  float cells_per_um_;
  std::vector<float> lattice_;  // (kPeriod,kPeriod)
};

/// 1 above `high`, 0 below `low`, smooth between.
inline float smooth_step(float low, float high, float value) {
  const float t = value <= low ? 0.0F : value >= high ? 1.0F : (value - low) / (high - low);
  return t * t * (3.0F - 2.0F * t);
}

}  // namespace mt::wsi
