#pragma once
// Where on a slide there is tissue.

#include <cstdint>
#include <vector>

#include "wsi/image.h"
#include "wsi/slide.h"

namespace mt::wsi {

/// The names and defaults are CLAM's (create_patches_fp.py); areas there are in units of (512 level-0 px)^2.
struct TissueOptions {
  double mask_mpp = 8.0;  // resolution of the mask, near CLAM's level of downsample 64 on a 0.25 um/px slide
  double fallback_downsample = 16;  // for a slide without mpp
  int median = 7;                   // mthresh: side of the median filter on saturation, odd
  int close = 4;                    // side of the square of the morphological closing
  bool otsu = true;                 // else the fixed threshold
  int saturation_threshold = 8;     // sthresh: used without Otsu, and the least that Otsu may answer
  double min_tissue_um2 = 40000;    // a_t: smaller islands are dropped
  double min_hole_um2 = 10000;      // a_h: smaller holes are filled
};

/// One byte per pixel of the mask: 1 = tissue.
struct TissueMask {
  int64_t width = 0;
  int64_t height = 0;
  double downsample_x = 1;  // level-0 pixels per pixel of the mask
  double downsample_y = 1;
  std::vector<uint8_t> pixels;  // (H,W)

  uint8_t at(int64_t x, int64_t y) const { return pixels[static_cast<std::size_t>(y * width + x)]; }
  /// The share of the level-0 square at (x, y) that is tissue, by area.
  double fraction(double x_level0, double y_level0, double size_level0) const;
};

/// Otsu on the saturation of a median-filtered thumbnail, pen marks left out, closed, small islands dropped
/// and small holes filled.
TissueMask find_tissue(const Slide& slide, const TissueOptions& options = {});
/// The same on a picture; `mpp` is that of its pixels, for the area filters.
std::vector<uint8_t> tissue_pixels(const RgbImage& image, double mpp, const TissueOptions& options = {});

/// DSMIL's rule (deepzoom_tiler.py): the mean over the patch of PIL's FIND_EDGES of its grey picture, as a
/// share of 255 times 100. A patch is kept when it is above the threshold (DSMIL: 15).
double edge_score(const RgbImage& patch);

}  // namespace mt::wsi
