// Colour steps of the CPU's augmentation: what depends on one or two bytes comes from a table.

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "kernels/augment/augment_steps.h"
#include "kernels/augment/augment_view.h"

namespace mt::augment_cpu {
namespace {

using ByteTable = std::array<uint8_t, 256>;

int32_t luma(const uint8_t* rgb) {
  return (rgb[0] * 19595 + rgb[1] * 38470 + rgb[2] * 7471 + 0x8000) >> 16;
}

// Truncates a blended value as Pillow does.
uint8_t truncated(float value) {
  return static_cast<uint8_t>(std::min(std::max(value, 0.0F), 255.0F));
}

// The blend of every byte with one degenerate value: degenerate + factor · (byte − degenerate), two roundings
// to float.
void blend_with_constant(uint8_t* rgb, int64_t pixels, int32_t degenerate, float factor) {
  ByteTable table;
  for (int32_t v = 0; v < 256; ++v) {
    const float product = factor * static_cast<float>(v - degenerate);
    table[static_cast<std::size_t>(v)] = truncated(static_cast<float>(degenerate) + product);
  }
  for (int64_t i = 0; i < 3 * pixels; ++i) rgb[i] = table[rgb[i]];
}

int32_t mean_luma(const uint8_t* rgb, int64_t pixels) {
  int64_t sum = 0;
  for (int64_t i = 0; i < pixels; ++i) sum += luma(rgb + 3 * i);
  return static_cast<int32_t>(static_cast<double>(sum) / static_cast<double>(pixels) + 0.5);
}

void saturate(uint8_t* rgb, int64_t pixels, float factor) {
  std::array<float, 511> product;  // factor · (byte − luma)
  for (int32_t d = -255; d <= 255; ++d)
    product[static_cast<std::size_t>(d + 255)] = factor * static_cast<float>(d);
  for (uint8_t* p = rgb; p != rgb + 3 * pixels; p += 3) {
    const int32_t grey_value = luma(p);
    const auto base = static_cast<float>(grey_value);
    const float* from_grey = product.data() + 255 - grey_value;
    for (int c = 0; c < 3; ++c) p[c] = truncated(base + from_grey[p[c]]);
  }
}

/// Pillow's RGB → HSV in tables. With range = max − min and `part` = max − the middle channel, the hue is,
/// for the largest channel r, g, b: 0, 2, 4 plus (part − range) / range or (range − part) / range, by which
/// of the others is the smallest.
struct HsvTables {
  using Bytes = std::array<std::array<uint8_t, 256>, 256>;
  std::array<Bytes, 6> hue;          // [2 · largest channel + side][range][part]
  Bytes saturation;                  // [max][range]
  std::array<uint8_t, 256> sextant;  // of an 8-bit hue
  std::array<float, 256> rest;       // position in the sextant
  std::array<float, 256> fraction;   // of an 8-bit saturation

  HsvTables() {
    for (std::size_t range = 1; range < 256; ++range) {
      for (std::size_t part = 0; part <= range; ++part) {
        const float share = static_cast<float>(part) / static_cast<float>(range);
        const double wide = share;
        hue[0][range][part] = hue_byte(share - 1.0F);
        hue[1][range][part] = hue_byte(1.0F - share);
        hue[2][range][part] = hue_byte(static_cast<float>(2.0 + wide - 1.0));
        hue[3][range][part] = hue_byte(static_cast<float>(2.0 + 1.0 - wide));
        hue[4][range][part] = hue_byte(static_cast<float>(4.0 + wide - 1.0));
        hue[5][range][part] = hue_byte(static_cast<float>(4.0 + 1.0 - wide));
      }
      for (std::size_t largest = range; largest < 256; ++largest) {
        const float share = static_cast<float>(range) / static_cast<float>(largest);
        saturation[largest][range] = static_cast<uint8_t>(static_cast<double>(share) * 255.0);
      }
    }
    for (std::size_t v = 0; v < 256; ++v) {
      const double position = static_cast<double>(v) * 6.0 / 255.0;
      const auto whole = static_cast<int>(position);
      sextant[v] = static_cast<uint8_t>(whole % 6);
      rest[v] = static_cast<float>(position - whole);
      fraction[v] = static_cast<float>(static_cast<double>(v) / 255.0);
    }
  }
  static uint8_t hue_byte(float hue) {
    const double turned = static_cast<double>(hue) / 6.0 + 1.0;  // in [5/6, 11/6]
    const auto turn = static_cast<float>(turned >= 1.0 ? turned - 1.0 : turned);
    return static_cast<uint8_t>(std::min(255, static_cast<int>(static_cast<double>(turn) * 255.0)));
  }
};

uint8_t rounded(double value) {
  return static_cast<uint8_t>(value + 0.5);
}

void shift_hue(uint8_t* rgb, int64_t pixels, uint8_t shift) {
  static const HsvTables tables;
  for (uint8_t* p = rgb; p != rgb + 3 * pixels; p += 3) {
    const uint8_t r = p[0];
    const uint8_t g = p[1];
    const uint8_t b = p[2];
    const uint8_t largest = std::max({r, g, b});
    const auto range = static_cast<uint8_t>(largest - std::min({r, g, b}));
    if (range == 0) continue;
    // Each channel's distance from the largest, and of the two others which is the smallest.
    const auto dr = static_cast<uint8_t>(largest - r);
    const auto dg = static_cast<uint8_t>(largest - g);
    const auto db = static_cast<uint8_t>(largest - b);
    uint8_t hue;
    if (dr == 0)
      hue = dg == range ? tables.hue[0][range][db] : tables.hue[1][range][dg];
    else if (dg == 0)
      hue = db == range ? tables.hue[2][range][dr] : tables.hue[3][range][db];
    else
      hue = dr == range ? tables.hue[4][range][dg] : tables.hue[5][range][dr];
    hue = static_cast<uint8_t>(hue + shift);
    const uint8_t saturation = tables.saturation[largest][range];
    const float s = tables.fraction[saturation];
    const float rest = tables.rest[hue];
    const double v = largest;
    const uint8_t low = rounded(v * (1.0 - static_cast<double>(s)));
    const uint8_t falling = rounded(v * (1.0 - static_cast<double>(s * rest)));
    const uint8_t rising = rounded(v * (1.0 - static_cast<double>(s) * (1.0 - static_cast<double>(rest))));
    const uint8_t values[6][3] = {{largest, rising, low},  {falling, largest, low}, {low, largest, rising},
                                  {low, falling, largest}, {rising, low, largest},  {largest, low, falling}};
    const uint8_t* out = values[tables.sextant[hue]];
    p[0] = out[0];
    p[1] = out[1];
    p[2] = out[2];
  }
}

using Vector = std::array<double, 3>;

Vector cross(const Vector& a, const Vector& b) {
  return {a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]};
}
double dot(const Vector& a, const Vector& b) {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}
Vector unit(Vector v) {
  const double length = std::sqrt(dot(v, v));
  for (double& x : v) x /= length;
  return v;
}

}  // namespace

StainMap::StainMap(const AugmentParameters& p) {
  // Directions of haematoxylin and eosin in (red, green, blue) density: Ruifrok & Johnston 2001.
  const Vector h = unit({0.65, 0.70, 0.29});
  const Vector e = unit({0.07, 0.99, 0.11});
  const Vector rest = unit(cross(h, e));
  const double determinant = dot(h, cross(e, rest));
  const Vector h_dual = cross(e, rest);
  const Vector e_dual = cross(rest, h);
  const double h_change = static_cast<double>(p.haematoxylin_scale) - 1;
  const double e_change = static_cast<double>(p.eosin_scale) - 1;
  for (std::size_t i = 0; i < 3; ++i) {
    const double moved =
        h[i] * static_cast<double>(p.haematoxylin_shift) + e[i] * static_cast<double>(p.eosin_shift);
    offset[i] = std::llround(moved * std::log2(10.0) * 0x1p26);
    for (std::size_t j = 0; j < 3; ++j) {
      const double change =
          h[i] * h_change * (h_dual[j] / determinant) + e[i] * e_change * (e_dual[j] / determinant);
      matrix[i][j] = std::llround(((i == j ? 1 : 0) + change) * 0x1p14);
    }
  }
}

void stain_jitter(uint8_t* rgb, int64_t pixels, const AugmentParameters& parameters) {
  const StainTables& tables = stain_tables();
  const StainMap map(parameters);
  for (uint8_t* p = rgb; p != rgb + 3 * pixels; p += 3) {
    const int64_t r = tables.density[p[0]];
    const int64_t g = tables.density[p[1]];
    const int64_t b = tables.density[p[2]];
    for (std::size_t c = 0; c < 3; ++c) {
      const auto& row = map.matrix[c];
      const int64_t sum = row[0] * r + row[1] * g + row[2] * b + map.offset[c] + (1 << 13);
      p[c] = tables.byte[static_cast<std::size_t>(std::clamp<int64_t>(sum >> 14, 0, 32768))];
    }
  }
}

void colour_jitter(uint8_t* rgb, int64_t pixels, const AugmentParameters& parameters) {
  for (const JitterStep step : parameters.jitter_order) {
    switch (step) {
      case JitterStep::brightness:
        blend_with_constant(rgb, pixels, 0, parameters.brightness);
        break;
      case JitterStep::contrast:
        blend_with_constant(rgb, pixels, mean_luma(rgb, pixels), parameters.contrast);
        break;
      case JitterStep::saturation:
        saturate(rgb, pixels, parameters.saturation);
        break;
      case JitterStep::hue:
        if (parameters.hue == 0) break;  // 8-bit HSV and back would change colours
        shift_hue(rgb, pixels, hue_shift(parameters.hue));
        break;
    }
  }
}

void grey(uint8_t* rgb, int64_t pixels) {
  for (uint8_t* p = rgb; p != rgb + 3 * pixels; p += 3) p[0] = p[1] = p[2] = static_cast<uint8_t>(luma(p));
}

}  // namespace mt::augment_cpu
