#pragma once
// Pictures about slides: scores over a thumbnail, outlines, sheets of patches.

#include <cstdint>
#include <span>
#include <vector>

#include "wsi/annotation.h"
#include "wsi/image.h"
#include "wsi/slide.h"
#include "wsi/tissue.h"

namespace mt::wsi {

/// Pale yellow (0) over orange and red to nearly black (1), darker and darker, so that a grey print keeps the order; values outside are
/// clamped, NaN is grey.
Colour heat_colour(float value);

struct PatchScore {
  int64_t x_level0 = 0;
  int64_t y_level0 = 0;
  float score = 0;
};

/// How a thumbnail lies over its slide.
struct ThumbnailScale {
  double x = 1;  // thumbnail pixels per level-0 pixel
  double y = 1;
  ThumbnailScale(const RgbImage& thumbnail, const Level& level0);
};

/// Lays each patch's colour over the thumbnail: (1 - alpha) picture + alpha colour. Scores are spread from
/// `low` to `high` over the colours; where patches overlap their mean counts.
void draw_heatmap(RgbImage& thumbnail, const ThumbnailScale& scale, std::span<const PatchScore> patches,
                  double patch_level0, float low = 0, float high = 1, float alpha = 0.5F);

/// Draws the outlines of tumour in `colour` and those of excluded areas in grey, `width` pixels wide.
void draw_outlines(RgbImage& thumbnail, const ThumbnailScale& scale, const Annotations& annotations,
                   Colour colour = {0, 160, 0}, int width = 2);

/// A black bar framed in white in the lower left corner, the longest of 1, 2 or 5 times a power of ten micrometres that is at most a
/// quarter of the picture's width. `mpp`: of the picture. Returns its length in micrometres; 0 where the picture is too small for one.
double draw_scale_bar(RgbImage& picture, double mpp);

/// Darkens what is outside the mask (its pixels stretched over the thumbnail).
void shade_outside(RgbImage& thumbnail, const TissueMask& mask);

/// Pictures of one size in rows of `columns`, `gap` white pixels between; an empty span gives an empty
/// picture.
RgbImage contact_sheet(std::span<const RgbImage> pictures, int columns, int gap = 2);

}  // namespace mt::wsi
