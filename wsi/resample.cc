#include "wsi/resample.h"

#include <algorithm>
#include <cmath>

#include "tensor/check.h"

namespace mt::wsi {

std::vector<AreaResampler::Taps> AreaResampler::taps_along(int64_t source_length, const Axis& axis) {
  check(axis.scale > 0, "resample_area: scale {} must be positive", axis.scale);
  std::vector<Taps> all(static_cast<std::size_t>(axis.length));
  for (int64_t i = 0; i < axis.length; ++i) {
    Taps& taps = all[static_cast<std::size_t>(i)];
    const double begin = axis.origin + static_cast<double>(i) * axis.scale,
                 end = axis.origin + static_cast<double>(i + 1) * axis.scale;
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

AreaResampler::AreaResampler(int64_t source_width, const Axis& columns)
    : columns_(taps_along(source_width, columns)) {}

AreaResampler::Columns AreaResampler::source_columns(const Columns& result) const {
  const Taps& last = columns_[static_cast<std::size_t>(result.last - 1)];
  return {columns_[static_cast<std::size_t>(result.first)].first,
          last.first + static_cast<int64_t>(last.weights.size())};
}

void AreaResampler::filter_row(const uint8_t* source, int64_t source_first, const Columns& columns,
                               float* row) const {
  for (int64_t column = columns.first; column < columns.last; ++column) {
    const Taps& taps = columns_[static_cast<std::size_t>(column)];
    const uint8_t* pixel = source + (taps.first - source_first) * 3;
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

void AreaResampler::fill(const RgbImage& source, int64_t source_first, const Columns& columns,
                         const Axis& rows, uint8_t* target, int64_t stride) const {
  const auto samples = static_cast<std::size_t>((columns.last - columns.first) * 3);
  std::vector<float> filtered(samples), sum(samples);  // (columns,3)
  int64_t filtered_row = -1;                           // the source row that `filtered` holds
  for (const Taps& taps : taps_along(source.height, rows)) {
    std::fill(sum.begin(), sum.end(), 0.0F);
    int64_t source_row = taps.first;
    for (const float weight : taps.weights) {
      if (source_row != filtered_row)
        filter_row(source.at(0, source_row), source_first, columns, filtered.data());
      filtered_row = source_row++;
      for (std::size_t i = 0; i < samples; ++i) sum[i] += weight * filtered[i];
    }
    uint8_t* out = target + columns.first * 3;
    for (std::size_t i = 0; i < samples; ++i) out[i] = static_cast<uint8_t>(std::min(sum[i] + 0.5F, 255.0F));
    target += stride;
  }
}

RgbImage resample_area(const RgbImage& source, double x0, double y0, double scale_x, double scale_y,
                       int64_t width, int64_t height) {
  RgbImage result(width, height);
  AreaResampler(source.width, {x0, scale_x, width})
      .fill(source, 0, {0, width}, {y0, scale_y, height}, result.pixels.data(), width * 3);
  return result;
}

}  // namespace mt::wsi
