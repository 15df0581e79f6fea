#pragma once
// Scaling by area: a pixel of the result is the mean of the source over the square that it covers.

#include <cstdint>
#include <vector>

#include "wsi/image.h"

namespace mt::wsi {

/// Pixel (i, j) of the result is the mean of the source over [x0 + i*scale_x, x0 + (i+1)*scale_x) x [y0 +
/// j*scale_y, ...) in source pixels, each source pixel weighted by the part of it that is inside; rounded
/// half up. What reaches beyond the source is left out of the mean; every square must touch the source. scale
/// < 1 magnifies. Columns can be computed by themselves, with the same result to the last bit.
class AreaResampler {
 public:
  /// One axis: pixel i covers [origin + i*scale, origin + (i+1)*scale) of the source.
  struct Axis {
    double origin, scale;
    int64_t length;  // pixels of the result
  };
  /// The columns, over a source of this width. Throws Error when the scale is not positive or a pixel misses
  /// the source.
  AreaResampler(int64_t source_width, const Axis& columns);

  /// Columns [first, last).
  struct Columns {
    int64_t first, last;
  };
  /// The source columns that these columns of the result are made of.
  Columns source_columns(const Columns& result) const;
  /// Fills `columns` of rows that begin `stride` bytes apart at `target`, from a source that holds the source
  /// columns from `source_first` on. Throws as the constructor does.
  void fill(const RgbImage& source, int64_t source_first, const Columns& columns, const Axis& rows,
            uint8_t* target, int64_t stride) const;

 private:
  /// The source pixels under one pixel of the result, and their weights, which sum to 1.
  struct Taps {
    int64_t first = 0;
    std::vector<float> weights;
  };
  static std::vector<Taps> taps_along(int64_t source_length, const Axis& axis);
  /// One source row → the columns of `row`, (columns, 3).
  void filter_row(const uint8_t* source, int64_t source_first, const Columns& columns, float* row) const;

  std::vector<Taps> columns_;
};

/// The whole result at once.
RgbImage resample_area(const RgbImage& source, double x0, double y0, double scale_x, double scale_y,
                       int64_t width, int64_t height);

}  // namespace mt::wsi
