#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "wsi/phantom/cells.h"

namespace mt::wsi {
namespace {

constexpr float kBareGlass = 0.07F;  // less eosin than any tissue has

/// The pixels that a shape around (x, y) can reach.
struct Box {
  int64_t x0, y0, x1, y1;
};

Box box_around(const Canvas& canvas, float x, float y, float reach) {
  return {std::max<int64_t>(0, static_cast<int64_t>(std::floor(x - reach))),
          std::max<int64_t>(0, static_cast<int64_t>(std::floor(y - reach))),
          std::min<int64_t>(canvas.width, static_cast<int64_t>(std::ceil(x + reach)) + 1),
          std::min<int64_t>(canvas.height, static_cast<int64_t>(std::ceil(y + reach)) + 1)};
}

/// Numbers in [-1, 1) from a nucleus' own random bits.
class Bits {
 public:
  explicit Bits(uint32_t seed) : state_(seed | 1U) {}
  float next() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 17;
    state_ ^= state_ << 5;
    return static_cast<float>(state_ >> 8) * 0x1p-23F - 1.0F;
  }

 private:
  uint32_t state_;
};

/// Chromatin: clumps of about 1 um, in a table that every nucleus reads from another place.
class Chromatin {
 public:
  Chromatin() : values_(kSize * kSize) {
    RandomStream random(0, Purpose::phantom, 1);
    const NoiseField coarse(random, 8.0F);
    const NoiseField fine(random, 4.0F);
    for (int y = 0; y < kSize; ++y) {
      for (int x = 0; x < kSize; ++x) {
        const float fx = static_cast<float>(x);
        const float fy = static_cast<float>(y);
        values_[static_cast<std::size_t>(y) * kSize + static_cast<std::size_t>(x)] =
            coarse(fx, fy) + 0.7F * fine(fx, fy);
      }
    }
  }
  /// x and y in micrometres, not negative.
  float operator()(float x, float y) const {
    const int ix = static_cast<int>(x * kPerUm) & (kSize - 1);
    const int iy = static_cast<int>(y * kPerUm) & (kSize - 1);
    return values_[static_cast<std::size_t>(iy) * kSize + static_cast<std::size_t>(ix)];
  }

 private:
  static constexpr int kSize = 256;
  static constexpr float kPerUm = 6.0F;
  std::vector<float> values_;
};

class NucleusShape {
 public:
  NucleusShape(const Nucleus& nucleus, const Chromatin& chromatin)
      : nucleus_(nucleus), chromatin_(chromatin) {
    Bits bits(nucleus.look);
    for (float& amplitude : harmonics_) amplitude = nucleus.ragged * bits.next();
    offset_x_ = 100.0F + 40.0F * bits.next();
    offset_y_ = 100.0F + 40.0F * bits.next();
    for (int i = 0; i < nucleus.nucleoli; ++i) {
      nucleoli_[static_cast<std::size_t>(i)] = {0.45F * bits.next(), 0.45F * bits.next(),
                                                0.16F + 0.05F * bits.next()};
    }
    const float stretch = std::sqrt(nucleus.aspect);
    const float cosine = std::cos(nucleus.angle);
    const float sine = std::sin(nucleus.angle);
    ux_ = cosine / (nucleus.radius_um * stretch);
    uy_ = sine / (nucleus.radius_um * stretch);
    vx_ = -sine * stretch / nucleus.radius_um;
    vy_ = cosine * stretch / nucleus.radius_um;
    edge_ = 0.45F / nucleus.radius_um;
  }

  /// Haematoxylin at (dx, dy) micrometres from the centre.
  float density(float dx, float dy) const {
    const float u = dx * ux_ + dy * uy_;
    const float v = dx * vx_ + dy * vy_;
    const float r2 = u * u + v * v;
    if (r2 > 2.2F) return 0.0F;
    const float r = std::sqrt(r2);
    const float inverse = 1.0F / (r + 1e-4F);
    const float c1 = u * inverse;
    const float s1 = v * inverse;
    const float c2 = c1 * c1 - s1 * s1;
    const float s2 = 2.0F * c1 * s1;
    const float c3 = c2 * c1 - s2 * s1;
    const float s3 = s2 * c1 + c2 * s1;
    const float outline =
        1.0F + harmonics_[0] * c2 + harmonics_[1] * s2 + harmonics_[2] * c3 + harmonics_[3] * s3;
    const float depth = r / outline;
    const float inside = smooth_step(-1.0F - edge_, -1.0F + edge_, -depth);
    if (inside <= 0.0F) return 0.0F;
    const float rim = smooth_step(0.55F, 0.92F, depth);
    float value = 1.0F + nucleus_.vesicular * (0.9F * rim - 0.45F);
    value += nucleus_.texture * chromatin_(dx + offset_x_, dy + offset_y_);
    for (int i = 0; i < nucleus_.nucleoli; ++i) {
      const Nucleolus& spot = nucleoli_[static_cast<std::size_t>(i)];
      const float nu = u - spot.u;
      const float nv = v - spot.v;
      const float distance2 = (nu * nu + nv * nv) / (spot.radius * spot.radius);
      if (distance2 < 2.0F) value += 0.55F * smooth_step(-1.6F, -0.5F, -distance2);
    }
    return nucleus_.density * inside * std::max(value, 0.15F);
  }

 private:
  struct Nucleolus {
    float u, v, radius;
  };
  const Nucleus& nucleus_;
  const Chromatin& chromatin_;
  std::array<float, 4> harmonics_{};
  std::array<Nucleolus, 3> nucleoli_{};
  float offset_x_, offset_y_;
  float ux_, uy_, vx_, vy_;
  float edge_;
};

}  // namespace

void draw_holes(Canvas& canvas, const std::vector<Hole>& holes, float mpp) {
  for (const Hole& hole : holes) {
    const float x = hole.x_um / mpp;
    const float y = hole.y_um / mpp;
    const float cosine = std::cos(hole.angle);
    const float sine = std::sin(hole.angle);
    const float soft = 0.8F / hole.radius_y_um;
    const Box box = box_around(canvas, x, y, 1.3F * std::max(hole.radius_x_um, hole.radius_y_um) / mpp);
    for (int64_t py = box.y0; py < box.y1; ++py) {
      for (int64_t px = box.x0; px < box.x1; ++px) {
        const float dx = (static_cast<float>(px) + 0.5F - x) * mpp;
        const float dy = (static_cast<float>(py) + 0.5F - y) * mpp;
        const float u = (dx * cosine + dy * sine) / hole.radius_x_um;
        const float v = (-dx * sine + dy * cosine) / hole.radius_y_um;
        const float inside = smooth_step(-1.0F - soft, -1.0F + soft, -std::sqrt(u * u + v * v));
        if (inside <= 0.0F) continue;
        const float left = 1.0F - hole.clearing * inside;
        const std::size_t i = canvas.index(px, py);
        canvas.haematoxylin[i] *= left;
        canvas.eosin[i] *= left;
      }
    }
  }
}

/// Nuclei whose centre lies on bare glass (a droplet of fat, a lumen, beside the tissue) are left out: the
/// background must be drawn before. Where nuclei overlap the darker one shows, slightly darkened by the
/// other: the section is thinner than two nuclei.
void draw_nuclei(Canvas& canvas, const std::vector<Nucleus>& nuclei, float mpp) {
  static const Chromatin chromatin;
  for (const Nucleus& nucleus : nuclei) {
    const NucleusShape shape(nucleus, chromatin);
    const float x = nucleus.x_um / mpp;
    const float y = nucleus.y_um / mpp;
    const int64_t centre_x = std::clamp<int64_t>(static_cast<int64_t>(x), 0, canvas.width - 1);
    const int64_t centre_y = std::clamp<int64_t>(static_cast<int64_t>(y), 0, canvas.height - 1);
    if (canvas.eosin[canvas.index(centre_x, centre_y)] < kBareGlass) continue;
    const float reach =
        (nucleus.radius_um * std::sqrt(nucleus.aspect) * (1.0F + 3.0F * nucleus.ragged) + 0.6F) / mpp;
    const Box box = box_around(canvas, x, y, reach);
    for (int64_t py = box.y0; py < box.y1; ++py) {
      for (int64_t px = box.x0; px < box.x1; ++px) {
        const float drawn = shape.density((static_cast<float>(px) + 0.5F - x) * mpp,
                                          (static_cast<float>(py) + 0.5F - y) * mpp);
        if (drawn <= 0.0F) continue;
        float& there = canvas.haematoxylin[canvas.index(px, py)];
        there = std::max(there, drawn) + 0.18F * std::min(there, drawn);
      }
    }
  }
}

}  // namespace mt::wsi
