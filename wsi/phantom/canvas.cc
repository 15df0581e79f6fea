#include "wsi/phantom/canvas.h"

#include <algorithm>
#include <cmath>

namespace mt::wsi {
namespace {

/// exp(-x) for 0 <= x < 8 from a table; its step of 1/512 is far below a grey level.
class ExponentialTable {
 public:
  ExponentialTable() : values_(kSize) {
    for (int i = 0; i < kSize; ++i) {
      values_[static_cast<std::size_t>(i)] = static_cast<float>(std::exp(-(i + 0.5) / kPerUnit));
    }
  }
  float operator()(float x) const {
    const int i = static_cast<int>(x * kPerUnit);
    return values_[static_cast<std::size_t>(std::clamp(i, 0, kSize - 1))];
  }

 private:
  static constexpr int kPerUnit = 512;
  static constexpr int kSize = 8 * kPerUnit;
  std::vector<float> values_;
};

/// Weights of a normal distribution cut at three sigma, summing to 1. Index 0 is the centre.
std::vector<float> gaussian_weights(float sigma) {
  const int radius = std::max(1, static_cast<int>(std::ceil(3.0F * sigma)));
  std::vector<float> weights(static_cast<std::size_t>(radius) + 1);
  float total = 0.0F;
  for (int i = 0; i <= radius; ++i) {
    const float t = static_cast<float>(i) / sigma;
    weights[static_cast<std::size_t>(i)] = std::exp(-0.5F * t * t);
    total += (i == 0 ? 1.0F : 2.0F) * weights[static_cast<std::size_t>(i)];
  }
  for (float& weight : weights) weight /= total;
  return weights;
}

}  // namespace

Stain Stain::draw(RandomStream& random) {
  Stain stain;
  stain.haematoxylin = 1.7F + 0.14F * random.normal();
  stain.eosin = 1.0F + 0.1F * random.normal();
  constexpr std::array<float, 3> kHaematoxylin = {0.66F, 0.69F, 0.30F};
  constexpr std::array<float, 3> kEosin = {0.10F, 0.95F, 0.28F};
  for (std::size_t c = 0; c < 3; ++c) {
    stain.haematoxylin_vector[c] = kHaematoxylin[c] + 0.018F * random.normal();
    stain.eosin_vector[c] = std::max(0.02F, kEosin[c] + 0.018F * random.normal());
  }
  const float lamp = random.uniform(238.0F, 246.0F);
  stain.white = {lamp, lamp + random.uniform(-1.5F, 1.0F), lamp + random.uniform(-2.0F, 2.0F)};
  stain.blur_um = std::max(0.3F, 0.65F + 0.12F * random.normal());
  stain.nuclear_scale = 1.0F + 0.025F * random.normal();
  return stain;
}

Canvas::Canvas(int64_t w, int64_t h)
    : width(w),
      height(h),
      haematoxylin(static_cast<std::size_t>(w * h)),
      eosin(static_cast<std::size_t>(w * h)) {}

void gaussian_blur(std::vector<float>& plane, int64_t width, int64_t x0, int64_t y0, int64_t x1, int64_t y1,
                   float sigma) {
  const std::vector<float> weights = gaussian_weights(sigma);
  const int64_t radius = static_cast<int64_t>(weights.size()) - 1;
  const int64_t columns = x1 - x0;
  const int64_t rows = y1 - y0;
  if (columns <= 0 || rows <= 0) return;
  // Rows of padded input first, so that both passes are plain loops over neighbours.
  std::vector<float> padded(static_cast<std::size_t>(columns + 2 * radius));
  std::vector<float> horizontal(static_cast<std::size_t>(columns * rows));
  for (int64_t y = 0; y < rows; ++y) {
    float* row = plane.data() + (y0 + y) * width + x0;
    for (int64_t x = -radius; x < columns + radius; ++x) {
      padded[static_cast<std::size_t>(x + radius)] = row[std::clamp<int64_t>(x, 0, columns - 1)];
    }
    float* out = horizontal.data() + y * columns;
    const float* centre = padded.data() + radius;
    for (int64_t x = 0; x < columns; ++x) out[x] = weights[0] * centre[x];
    for (int64_t k = 1; k <= radius; ++k) {
      const float weight = weights[static_cast<std::size_t>(k)];
      for (int64_t x = 0; x < columns; ++x) out[x] += weight * (centre[x - k] + centre[x + k]);
    }
  }
  for (int64_t y = 0; y < rows; ++y) {
    float* out = plane.data() + (y0 + y) * width + x0;
    const float* centre = horizontal.data() + y * columns;
    for (int64_t x = 0; x < columns; ++x) out[x] = weights[0] * centre[x];
    for (int64_t k = 1; k <= radius; ++k) {
      const float weight = weights[static_cast<std::size_t>(k)];
      const float* above = horizontal.data() + std::max<int64_t>(0, y - k) * columns;
      const float* below = horizontal.data() + std::min<int64_t>(rows - 1, y + k) * columns;
      for (int64_t x = 0; x < columns; ++x) out[x] += weight * (above[x] + below[x]);
    }
  }
}

RgbImage develop(const Canvas& canvas, const Stain& stain, RandomStream& random) {
  const ExponentialTable transmitted;
  constexpr uint32_t kNoise = 4096;
  std::vector<float> noise(kNoise);
  for (float& value : noise) value = 1.2F * random.normal() + 0.5F;
  RgbImage image(canvas.width, canvas.height);
  std::array<float, 3> h{};
  std::array<float, 3> e{};
  for (std::size_t c = 0; c < 3; ++c) {
    h[c] = stain.haematoxylin_vector[c] * stain.haematoxylin;
    e[c] = stain.eosin_vector[c] * stain.eosin;
  }
  for (int64_t y = 0; y < canvas.height; ++y) {
    uint32_t state = random.next() | 1U;  // a xorshift per row picks from the table
    for (int64_t x = 0; x < canvas.width; ++x) {
      const std::size_t i = canvas.index(x, y);
      uint8_t* pixel = image.at(x, y);
      state ^= state << 13;
      state ^= state >> 17;
      state ^= state << 5;
      for (std::size_t c = 0; c < 3; ++c) {
        const float density = h[c] * canvas.haematoxylin[i] + e[c] * canvas.eosin[i];
        const float value = stain.white[c] * transmitted(density) + noise[(state >> (10 * c)) & (kNoise - 1)];
        pixel[c] = static_cast<uint8_t>(std::clamp(value, 0.0F, 255.0F));
      }
    }
  }
  return image;
}

}  // namespace mt::wsi
