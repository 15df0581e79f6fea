#include "wsi/resample.h"

#include <algorithm>
#include <cmath>

#include "tensor/check.h"

namespace mt::wsi {
namespace {

/// The source pixels under one pixel of the result, and their weights, which sum to 1.
struct Taps {
  int64_t first = 0;
  std::vector<float> weights;
};

std::vector<Taps> taps_along(int64_t source_length, double origin, double scale, int64_t length) {
  std::vector<Taps> all(static_cast<std::size_t>(length));
  for (int64_t i = 0; i < length; ++i) {
    Taps& taps = all[static_cast<std::size_t>(i)];
    const double begin = origin + static_cast<double>(i) * scale,
                 end = origin + static_cast<double>(i + 1) * scale;
    const double limit = static_cast<double>(source_length);
    check(begin < limit && end > 0, "resample_area: pixel {} covers [{}, {}) of {} source pixels", i, begin,
          end, source_length);
    const double low = std::max(begin, 0.0), high = std::min(end, limit);
    taps.first = std::min(static_cast<int64_t>(low), source_length - 1);
    const int64_t last = std::clamp(static_cast<int64_t>(std::ceil(high)), taps.first + 1, source_length);
    for (int64_t s = taps.first; s < last; ++s) {
      const double inside =
          std::min(high, static_cast<double>(s + 1)) - std::max(low, static_cast<double>(s));
      taps.weights.push_back(static_cast<float>(std::max(inside, 0.0) / (high - low)));
    }
  }
  return all;
}

/// One source row (source width, 3) → row (W,3).
void filter_row(const uint8_t* source, const std::vector<Taps>& columns, float* row) {
  for (const Taps& taps : columns) {
    const uint8_t* pixel = source + taps.first * 3;
    float red = 0, green = 0, blue = 0;
    for (const float weight : taps.weights) {
      red += weight * static_cast<float>(pixel[0]);
      green += weight * static_cast<float>(pixel[1]);
      blue += weight * static_cast<float>(pixel[2]);
      pixel += 3;
    }
    *row++ = red;
    *row++ = green;
    *row++ = blue;
  }
}

}  // namespace

RgbImage resample_area(const RgbImage& source, double x0, double y0, double scale_x, double scale_y,
                       int64_t width, int64_t height) {
  check(scale_x > 0 && scale_y > 0, "resample_area: scale {} x {} must be positive", scale_x, scale_y);
  const std::vector<Taps> columns = taps_along(source.width, x0, scale_x, width);
  const std::vector<Taps> rows = taps_along(source.height, y0, scale_y, height);
  RgbImage result(width, height);
  const std::size_t samples = static_cast<std::size_t>(width) * 3;
  std::vector<float> filtered(samples), sum(samples);  // (W,3)
  int64_t filtered_row = -1;                           // the source row that `filtered` holds
  for (int64_t y = 0; y < height; ++y) {
    const Taps& taps = rows[static_cast<std::size_t>(y)];
    std::fill(sum.begin(), sum.end(), 0.0F);
    int64_t source_row = taps.first;
    for (const float weight : taps.weights) {
      if (source_row != filtered_row) filter_row(source.at(0, source_row), columns, filtered.data());
      filtered_row = source_row++;
      for (std::size_t i = 0; i < samples; ++i) sum[i] += weight * filtered[i];
    }
    uint8_t* out = result.at(0, y);
    for (std::size_t i = 0; i < samples; ++i) out[i] = static_cast<uint8_t>(std::min(sum[i] + 0.5F, 255.0F));
  }
  return result;
}

}  // namespace mt::wsi
