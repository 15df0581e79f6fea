#pragma once
// Where on a slide there is tissue.

#include <cstdint>
#include <vector>

#include "wsi/image.h"
#include "wsi/slide.h"

namespace mt::wsi {

/// Named after CLAM's parameters (seg_params and filter_params of create_patches_fp.py); lengths are in
/// pixels of the mask, areas in square micrometres so that they mean the same on every slide.
struct TissueOptions {
  /// Of the mask, in um/px: CLAM's level of downsample 64 on a slide of 0.25 um/px. A slide whose longer side
  /// would be under 512 pixels of that size gets smaller ones, down to 2 um.
  double mask_mpp = 16.0;
  int median = 7;                // mthresh: side of the median filter on the saturation, odd
  int close = 4;                 // side of the square of the closing; 0 = none
  bool otsu = true;              // use_otsu; else saturation_threshold
  int saturation_threshold = 8;  // sthresh, 0..255: the fixed threshold, and the least that Otsu may answer
  int otsu_ceiling = 32;         // the most that Otsu may answer, or pale tissue beside dark is lost
  double min_tissue_um2 = 4000;  // a_t: smaller islands are dropped (one patch of 64 um)
  double min_hole_um2 = 4000;    // a_h: smaller holes are filled
};

/// One byte per pixel: 1 = tissue.
struct TissueMask {
  int64_t width = 0;
  int64_t height = 0;
  double downsample_x = 1;  // level-0 pixels per pixel of the mask
  double downsample_y = 1;
  std::vector<uint8_t> pixels;  // (H,W)

  uint8_t at(int64_t x, int64_t y) const { return pixels[static_cast<std::size_t>(y * width + x)]; }
  /// The share of tissue in the level-0 square whose upper left corner is (x, y), exact by area.
  double fraction(double x_level0, double y_level0, double size_level0) const;
};

/// Otsu on the saturation of a median-filtered thumbnail, pen marks left out, closed, small islands dropped
/// and small holes filled. A slide without mpp is taken to have 0.25 um/px for this purpose.
TissueMask find_tissue(const Slide& slide, const TissueOptions& options = {});
/// The same for a picture whose pixels are `mpp` micrometres. // (H,W)
std::vector<uint8_t> tissue_pixels(const RgbImage& image, double mpp, const TissueOptions& options = {});

/// DSMIL's rule (deepzoom_tiler.py): the mean over pixels and channels of PIL's FIND_EDGES, 0..255. DSMIL
/// keeps a patch of 224 px when it is above 15.
double edge_score(const RgbImage& patch);

}  // namespace mt::wsi
