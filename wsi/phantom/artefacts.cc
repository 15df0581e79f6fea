#include "wsi/phantom/artefacts.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

namespace mt::wsi {
namespace {

constexpr float kPi = std::numbers::pi_v<float>;

/// Replaces pixel * (1 - alpha) + ink-filtered pixel * alpha: ink lets through a share of each colour.
void tint(uint8_t* pixel, const std::array<float, 3>& transmission, float alpha) {
  for (std::size_t c = 0; c < 3; ++c) {
    const float through = 1.0F - alpha * (1.0F - transmission[c]);
    pixel[c] = static_cast<uint8_t>(std::lround(static_cast<float>(pixel[c]) * through));
  }
}

struct StrokePoint {
  float x, y;
};

float distance_to_segment(StrokePoint p, StrokePoint a, StrokePoint b) {
  const float dx = b.x - a.x;
  const float dy = b.y - a.y;
  const float t = std::clamp(((p.x - a.x) * dx + (p.y - a.y) * dy) / (dx * dx + dy * dy + 1e-6F), 0.0F, 1.0F);
  return std::hypot(p.x - a.x - t * dx, p.y - a.y - t * dy);
}

}  // namespace

bool defocus(Canvas& canvas, float mpp, RandomStream& random) {
  const bool wanted = random.chance(0.2F);
  const float radius = random.uniform(60.0F, 130.0F) / mpp;
  const float sigma = random.uniform(1.2F, 2.4F) / mpp;
  const float x = random.uniform(0.0F, static_cast<float>(canvas.width));
  const float y = random.uniform(0.0F, static_cast<float>(canvas.height));
  if (!wanted) return false;
  const int64_t x0 = std::max<int64_t>(0, static_cast<int64_t>(x - radius));
  const int64_t y0 = std::max<int64_t>(0, static_cast<int64_t>(y - radius));
  const int64_t x1 = std::min(canvas.width, static_cast<int64_t>(x + radius));
  const int64_t y1 = std::min(canvas.height, static_cast<int64_t>(y + radius));
  for (std::vector<float>* plane : {&canvas.haematoxylin, &canvas.eosin}) {
    std::vector<float> blurred = *plane;
    gaussian_blur(blurred, canvas.width, x0, y0, x1, y1, sigma);
    for (int64_t py = y0; py < y1; ++py) {
      for (int64_t px = x0; px < x1; ++px) {
        const float r = std::hypot(static_cast<float>(px) - x, static_cast<float>(py) - y) / radius;
        const float share = smooth_step(-0.95F, -0.65F, -r);
        const std::size_t i = canvas.index(px, py);
        (*plane)[i] += share * (blurred[i] - (*plane)[i]);
      }
    }
  }
  return true;
}

void scatter_dust(RgbImage& image, float mpp, RandomStream& random) {
  const int specks = static_cast<int>(random.below(7));
  for (int n = 0; n < specks; ++n) {
    const float x = random.uniform(0.0F, static_cast<float>(image.width));
    const float y = random.uniform(0.0F, static_cast<float>(image.height));
    const float radius = random.uniform(1.0F, 4.5F) / mpp;
    const float alpha = random.uniform(0.08F, 0.4F);
    const int64_t reach = static_cast<int64_t>(radius * 1.5F) + 1;
    for (int64_t py = std::max<int64_t>(0, static_cast<int64_t>(y) - reach);
         py < std::min(image.height, static_cast<int64_t>(y) + reach); ++py) {
      for (int64_t px = std::max<int64_t>(0, static_cast<int64_t>(x) - reach);
           px < std::min(image.width, static_cast<int64_t>(x) + reach); ++px) {
        const float r = std::hypot(static_cast<float>(px) - x, static_cast<float>(py) - y) / radius;
        tint(image.at(px, py), {0.45F, 0.42F, 0.38F}, alpha * smooth_step(-1.4F, -0.5F, -r));
      }
    }
  }
}

void draw_pen(RgbImage& image, const Geometry& geometry, float mpp, RandomStream& random) {
  constexpr std::array<std::array<float, 3>, 4> kInks = {
      {{0.10F, 0.32F, 0.72F}, {0.12F, 0.55F, 0.30F}, {0.13F, 0.13F, 0.15F}, {0.80F, 0.12F, 0.14F}}};
  const std::array<float, 3>& ink = kInks[random.below(kInks.size())];
  const float width_um = geometry.options().width_um;
  const float height_um = geometry.options().height_um;
  // A slow arc along one side, as one drawn around the tissue by hand.
  const int side = static_cast<int>(random.below(4));
  const float thickness = random.uniform(14.0F, 24.0F);
  std::array<StrokePoint, 9> stroke{};
  const float bow = random.uniform(-18.0F, 18.0F);
  for (std::size_t i = 0; i < stroke.size(); ++i) {
    const float t = static_cast<float>(i) / static_cast<float>(stroke.size() - 1);
    const float inward = 14.0F + bow * std::sin(kPi * t) + 2.5F * random.normal();
    const float along = 0.04F + 0.92F * t;
    stroke[i] = side == 0   ? StrokePoint{along * width_um, inward}
                : side == 1 ? StrokePoint{along * width_um, height_um - inward}
                : side == 2 ? StrokePoint{inward, along * height_um}
                            : StrokePoint{width_um - inward, along * height_um};
  }
  const NoiseField uneven(random, 9.0F);
  for (int64_t py = 0; py < image.height; ++py) {
    const float y = (static_cast<float>(py) + 0.5F) * mpp;
    if (side == 0 && y > 70.0F) break;
    if (side == 1 && y < height_um - 70.0F) continue;
    for (int64_t px = 0; px < image.width; ++px) {
      const float x = (static_cast<float>(px) + 0.5F) * mpp;
      if ((side == 2 && x > 70.0F) || (side == 3 && x < width_um - 70.0F)) continue;
      float distance = 1e9F;
      for (std::size_t i = 1; i < stroke.size(); ++i) {
        distance = std::min(distance, distance_to_segment({x, y}, stroke[i - 1], stroke[i]));
      }
      // The pen stays on bare glass: it fades out before the tissue, so that no patch of tissue carries ink.
      const float clear_of_tissue = smooth_step(0.0F, 0.06F, -geometry.island()(x, y) - 0.02F);
      const float alpha =
          smooth_step(-thickness * 0.5F - 1.5F, -thickness * 0.5F + 1.5F, -distance) * clear_of_tissue;
      if (alpha > 0.0F)
        tint(image.at(px, py), ink, alpha * std::clamp(0.88F + 0.08F * uneven(x, y), 0.0F, 1.0F));
    }
  }
}

}  // namespace mt::wsi
