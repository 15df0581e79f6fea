#include "wsi/heatmap.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "tensor/check.h"

namespace mt::wsi {
namespace {

uint8_t mixed(uint8_t picture, uint8_t colour, float alpha) {
  return static_cast<uint8_t>(
      std::lround(static_cast<float>(picture) * (1 - alpha) + static_cast<float>(colour) * alpha));
}

void fill_disc(RgbImage& image, double x, double y, double radius, const Colour& colour) {
  for (auto py = static_cast<int64_t>(std::floor(y - radius)); py <= static_cast<int64_t>(y + radius); ++py) {
    for (auto px = static_cast<int64_t>(std::floor(x - radius)); px <= static_cast<int64_t>(x + radius);
         ++px) {
      if (px < 0 || py < 0 || px >= image.width || py >= image.height) continue;
      const double distance =
          std::hypot(static_cast<double>(px) + 0.5 - x, static_cast<double>(py) + 0.5 - y);
      if (distance <= std::max(radius, 0.71)) std::memcpy(image.at(px, py), colour.data(), 3);
    }
  }
}

/// Narrows [first, last], the part of a line's parameter within [low, high] of one axis (Liang and Barsky
/// 1984).
void clip_axis(double start, double step, double low, double high, double& first, double& last) {
  if (step == 0) {
    if (start < low || start > high) last = -1;
    return;
  }
  const double t0 = (low - start) / step;
  const double t1 = (high - start) / step;
  first = std::max(first, std::min(t0, t1));
  last = std::min(last, std::max(t0, t1));
}

/// Discs half a pixel apart: plain, and fast enough for thumbnails. Only the part near the picture is walked.
void draw_line(RgbImage& image, Point a, Point b, int width, const Colour& colour) {
  const double margin = width;
  const double dx = b.x - a.x;
  const double dy = b.y - a.y;
  double first = 0;
  double last = 1;
  clip_axis(a.x, dx, -margin, static_cast<double>(image.width) + margin, first, last);
  clip_axis(a.y, dy, -margin, static_cast<double>(image.height) + margin, first, last);
  if (first > last) return;
  const double steps = std::ceil(2 * (last - first) * std::hypot(dx, dy)) + 1;
  for (double i = 0; i <= steps; ++i) {
    const double t = first + (last - first) * i / steps;
    fill_disc(image, a.x + t * dx, a.y + t * dy, width / 2.0, colour);
  }
}

}  // namespace

Colour heat_colour(float value) {
  if (std::isnan(value)) return {128, 128, 128};
  constexpr std::array<std::array<float, 3>, 5> kStops = {
      {{255, 255, 204}, {254, 217, 118}, {253, 141, 60}, {214, 26, 28}, {70, 0, 20}}};
  const float position = std::clamp(value, 0.0F, 1.0F) * (kStops.size() - 1);
  const std::size_t stop = std::min(static_cast<std::size_t>(position), kStops.size() - 2);
  const float t = position - static_cast<float>(stop);
  Colour colour{};
  for (std::size_t c = 0; c < 3; ++c) {
    colour[c] = static_cast<uint8_t>(std::lround(kStops[stop][c] * (1 - t) + kStops[stop + 1][c] * t));
  }
  return colour;
}

double draw_scale_bar(RgbImage& picture, double mpp) {
  constexpr int64_t kMargin = 8;
  constexpr int64_t kHeight = 4;
  const double most = mpp * static_cast<double>(picture.width) / 4;
  if (!(most > 0) || picture.width < 8 * kMargin || picture.height < 4 * kMargin) return 0;
  const double power = std::pow(10.0, std::floor(std::log10(most)));
  const double length = power * (most >= 5 * power ? 5 : most >= 2 * power ? 2 : 1);
  const auto pixels = static_cast<int64_t>(std::lround(length / mpp));
  for (int64_t y = -2; y < kHeight + 2; ++y) {
    for (int64_t x = -2; x < pixels + 2; ++x) {
      const bool frame = x < 0 || y < 0 || x >= pixels || y >= kHeight;
      std::memset(picture.at(kMargin + x, picture.height - kMargin - kHeight + y), frame ? 255 : 0, 3);
    }
  }
  return length;
}

ThumbnailScale::ThumbnailScale(const RgbImage& thumbnail, const Level& level0)
    : x(static_cast<double>(thumbnail.width) / static_cast<double>(level0.width)),
      y(static_cast<double>(thumbnail.height) / static_cast<double>(level0.height)) {}

void draw_heatmap(RgbImage& thumbnail, const ThumbnailScale& scale, std::span<const PatchScore> patches,
                  double patch_level0, float low, float high, float alpha) {
  check(high > low, "heatmap: the highest score {} is not above the lowest {}", high, low);
  const std::size_t pixels = static_cast<std::size_t>(thumbnail.width * thumbnail.height);
  std::vector<float> sums(pixels);
  std::vector<float> counts(pixels);
  const auto pixel = [](double position, int64_t side) {
    return std::clamp<int64_t>(std::llround(position), 0, side);
  };
  for (const PatchScore& patch : patches) {
    const auto x = static_cast<double>(patch.x_level0);
    const auto y = static_cast<double>(patch.y_level0);
    const int64_t x1 = pixel((x + patch_level0) * scale.x, thumbnail.width);
    const int64_t y1 = pixel((y + patch_level0) * scale.y, thumbnail.height);
    for (int64_t py = pixel(y * scale.y, thumbnail.height); py < y1; ++py) {
      for (int64_t px = pixel(x * scale.x, thumbnail.width); px < x1; ++px) {
        sums[static_cast<std::size_t>(py * thumbnail.width + px)] += patch.score;
        counts[static_cast<std::size_t>(py * thumbnail.width + px)] += 1;
      }
    }
  }
  for (std::size_t i = 0; i < pixels; ++i) {
    if (counts[i] == 0) continue;
    const Colour colour = heat_colour((sums[i] / counts[i] - low) / (high - low));
    for (std::size_t c = 0; c < 3; ++c) {
      uint8_t& sample = thumbnail.pixels[i * 3 + c];
      sample = mixed(sample, colour[c], alpha);
    }
  }
}

void draw_outlines(RgbImage& thumbnail, const ThumbnailScale& scale, const Annotations& annotations,
                   Colour colour, int width) {
  constexpr Colour kExcluded = {90, 90, 90};
  const auto draw_ring = [&](const std::vector<Point>& points, Colour ring_colour) {
    for (std::size_t i = 0; i < points.size(); ++i) {
      const Point& a = points[i];
      const Point& b = points[(i + 1) % points.size()];
      draw_line(thumbnail, {a.x * scale.x, a.y * scale.y}, {b.x * scale.x, b.y * scale.y}, width,
                ring_colour);
    }
  };
  for (const Polygon& polygon : annotations.polygons()) {
    draw_ring(polygon.points, polygon.excluded ? kExcluded : colour);
    for (const std::vector<Point>& hole : polygon.holes) draw_ring(hole, kExcluded);
  }
}

void shade_outside(RgbImage& thumbnail, const TissueMask& mask) {
  for (int64_t y = 0; y < thumbnail.height; ++y) {
    for (int64_t x = 0; x < thumbnail.width; ++x) {
      const bool tissue = mask.at(x * mask.width / thumbnail.width, y * mask.height / thumbnail.height) != 0;
      if (tissue) continue;
      uint8_t* pixel = thumbnail.at(x, y);
      for (std::size_t c = 0; c < 3; ++c) pixel[c] = mixed(pixel[c], 60, 0.55F);
    }
  }
}

RgbImage contact_sheet(std::span<const RgbImage> pictures, int columns, int gap) {
  check(columns > 0 && gap >= 0, "contact sheet: {} columns, {} px between", columns, gap);
  if (pictures.empty()) return {};
  const int64_t width = pictures[0].width;
  const int64_t height = pictures[0].height;
  const int64_t used = std::min<int64_t>(columns, static_cast<int64_t>(pictures.size()));
  const int64_t rows = (static_cast<int64_t>(pictures.size()) + columns - 1) / columns;
  RgbImage sheet(used * (width + gap) + gap, rows * (height + gap) + gap, 255);
  for (std::size_t i = 0; i < pictures.size(); ++i) {
    const RgbImage& picture = pictures[i];
    check(picture.width == width && picture.height == height,
          "contact sheet: picture {} is {}x{}, the first {}x{}", i, picture.width, picture.height, width,
          height);
    const int64_t x0 = gap + static_cast<int64_t>(i) % columns * (width + gap);
    const int64_t y0 = gap + static_cast<int64_t>(i) / columns * (height + gap);
    for (int64_t y = 0; y < height; ++y) {
      std::memcpy(sheet.at(x0, y0 + y), picture.at(0, y), static_cast<std::size_t>(width * 3));
    }
  }
  return sheet;
}

}  // namespace mt::wsi
