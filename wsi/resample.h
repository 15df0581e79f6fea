#pragma once
// Scaling by area: a pixel of the result is the mean of the source over the square that it covers.

#include "wsi/image.h"

namespace mt::wsi {

/// Pixel (i, j) of the result is the mean of `source` over [x0 + i*scale_x, x0 + (i+1)*scale_x) x [y0 +
/// j*scale_y, ...) in source pixels, each source pixel weighted by the part of it that is inside; rounded
/// half up. What reaches beyond the source is left out of the mean; every square must touch the source. scale
/// < 1 magnifies.
RgbImage resample_area(const RgbImage& source, double x0, double y0, double scale_x, double scale_y,
                       int64_t width, int64_t height);

}  // namespace mt::wsi
