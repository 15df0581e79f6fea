#include "wsi/tissue.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "tensor/check.h"
#include "wsi/mask_filters.h"

namespace mt::wsi {
namespace {

constexpr double kAssumedMpp = 0.25;
constexpr double kFinestMaskMpp = 2.0;
constexpr double kLongerSideMaskPixels = 512;

/// The S of HSV, as OpenCV computes it: 255 * (max - min) / max.
uint8_t saturation(const uint8_t* pixel) {
  const int high = std::max({pixel[0], pixel[1], pixel[2]});
  const int low = std::min({pixel[0], pixel[1], pixel[2]});
  return high == 0 ? uint8_t{0} : static_cast<uint8_t>((255 * (high - low) + high / 2) / high);
}

/// Marker ink. Haematoxylin and eosin both take green away first, so green above red is blue or green ink;
/// black is dark without a hue; pure red, neither towards orange nor towards pink, is red ink.
bool is_pen(const uint8_t* pixel) {
  const int red = pixel[0];
  const int green = pixel[1];
  const int blue = pixel[2];
  const int high = std::max({red, green, blue});
  const int low = std::min({red, green, blue});
  const bool blue_or_green = green > red + 12;
  const bool black = high < 90 && high - low < 22;
  const bool pure_red = red - green > 60 && std::abs(blue - green) * 8 < red - green;
  return blue_or_green || black || pure_red;
}

}  // namespace

double TissueMask::fraction(double x_level0, double y_level0, double size_level0) const {
  const double x0 = x_level0 / downsample_x;
  const double y0 = y_level0 / downsample_y;
  const double x1 = (x_level0 + size_level0) / downsample_x;
  const double y1 = (y_level0 + size_level0) / downsample_y;
  double area = 0;
  for (int64_t y = std::max<int64_t>(0, static_cast<int64_t>(std::floor(y0)));
       y < std::min(height, static_cast<int64_t>(std::ceil(y1))); ++y) {
    const double rows = std::min(y1, static_cast<double>(y + 1)) - std::max(y0, static_cast<double>(y));
    for (int64_t x = std::max<int64_t>(0, static_cast<int64_t>(std::floor(x0)));
         x < std::min(width, static_cast<int64_t>(std::ceil(x1))); ++x) {
      if (at(x, y) == 0) continue;
      area += rows * (std::min(x1, static_cast<double>(x + 1)) - std::max(x0, static_cast<double>(x)));
    }
  }
  return area / ((x1 - x0) * (y1 - y0));
}

std::vector<uint8_t> tissue_pixels(const RgbImage& image, double mpp, const TissueOptions& options) {
  check(mpp > 0 && options.mask_mpp > 0, "tissue: um/px must be positive");
  Plane colour(image.width, image.height);
  Plane pen(image.width, image.height);
  for (int64_t y = 0; y < image.height; ++y) {
    for (int64_t x = 0; x < image.width; ++x) {
      pen.at(x, y) = is_pen(image.at(x, y)) ? 1 : 0;
      colour.at(x, y) = saturation(image.at(x, y));
    }
  }
  // A lone pixel of a pen's hue is noise; a stroke is wide. Its antialiased edge goes with it.
  pen = dilate(median_filter(pen, 5), 7);
  for (std::size_t i = 0; i < pen.pixels.size(); ++i) {
    if (pen.pixels[i] != 0) colour.pixels[i] = 0;
  }
  const Plane smooth = median_filter(colour, options.median);
  const int threshold =
      options.otsu ? std::clamp(otsu_threshold(smooth), options.saturation_threshold, options.otsu_ceiling)
                   : options.saturation_threshold;
  Plane mask(image.width, image.height);
  for (std::size_t i = 0; i < mask.pixels.size(); ++i) mask.pixels[i] = smooth.pixels[i] > threshold ? 1 : 0;
  if (options.close > 1) mask = close_mask(mask, options.close);
  const double pixel_um2 = mpp * mpp;
  replace_small_areas(mask, 1, 0, static_cast<int64_t>(options.min_tissue_um2 / pixel_um2), true);
  replace_small_areas(mask, 0, 1, static_cast<int64_t>(options.min_hole_um2 / pixel_um2), false);
  return std::move(mask.pixels);
}

TissueMask find_tissue(const Slide& slide, const TissueOptions& options) {
  const Level& finest = slide.levels()[0];
  const double mpp = slide.mpp().value_or(kAssumedMpp);
  const double longer_um = static_cast<double>(std::max(finest.width, finest.height)) * mpp;
  const double mask_mpp = std::clamp(longer_um / kLongerSideMaskPixels,
                                     std::min(kFinestMaskMpp, options.mask_mpp), options.mask_mpp);
  const RgbImage picture = slide.thumbnail(std::max<int64_t>(1, std::llround(longer_um / mask_mpp)));
  TissueMask mask;
  mask.width = picture.width;
  mask.height = picture.height;
  mask.downsample_x = static_cast<double>(finest.width) / static_cast<double>(picture.width);
  mask.downsample_y = static_cast<double>(finest.height) / static_cast<double>(picture.height);
  mask.pixels = tissue_pixels(picture, mask.downsample_x * mpp, options);
  return mask;
}

double edge_score(const RgbImage& patch) {
  if (patch.width == 0 || patch.height == 0) return 0;
  int64_t sum = 0;
  for (int64_t y = 0; y < patch.height; ++y) {
    for (int64_t x = 0; x < patch.width; ++x) {
      // PIL copies the outermost pixels as they are.
      const bool border = x == 0 || y == 0 || x == patch.width - 1 || y == patch.height - 1;
      for (int64_t c = 0; c < 3; ++c) {
        int value = patch.at(x, y)[c];
        if (!border) {
          value *= 9;
          for (int64_t j = y - 1; j <= y + 1; ++j) {
            for (int64_t i = x - 1; i <= x + 1; ++i) value -= patch.at(i, j)[c];
          }
        }
        sum += std::clamp(value, 0, 255);
      }
    }
  }
  return static_cast<double>(sum) / static_cast<double>(patch.width * patch.height * 3);
}

}  // namespace mt::wsi
