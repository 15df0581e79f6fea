#pragma once
// The grid of patches over a slide's tissue.

#include <cstdint>
#include <optional>
#include <vector>

#include "wsi/slide.h"
#include "wsi/tissue.h"

namespace mt::wsi {

struct TilingOptions {
  int64_t patch = 224;       // side in pixels, as the network sees it
  double mpp = 0.5;          // micrometres per pixel of a patch
  std::optional<int> level;  // `native:LEVEL`: read this level as it is, whatever its mpp
  int64_t overlap = 0;       // pixels of a patch shared with its neighbour
  /// The least share of a patch that must be tissue. CLAM asks for a point near the patch's centre to be
  /// tissue and DSMIL for edges; half of the area is the plain form of the former.
  double min_tissue = 0.5;
  /// DSMIL's rule instead of the tissue mask: keep patches whose edge_score is above this. Reads every patch.
  std::optional<double> min_edge_score;
};

/// A square of the slide that the network sees. (A tile is a piece of the file.)
struct Patch {
  int64_t x_level0 = 0;  // upper left corner
  int64_t y_level0 = 0;
  float tissue_fraction = 0;
};

struct Tiling {
  double patch_level0 = 0;     // side of a patch in level-0 pixels; need not be whole
  double mpp = 0;              // of a patch's pixel; 0 when nobody knows (only with `level`)
  int64_t grid_patches = 0;    // patches on the grid, tissue or not
  std::vector<Patch> patches;  // row by row
};

/// The patches that lie wholly within the slide, from its upper left corner on. Column i starts at round(i *
/// step): with a step that is no whole number rounding does not add up. A level whose mpp is the target's
/// within Slide::kSameMpp is taken as it is, just as Slide::read_at_mpp does. Throws when the slide has no
/// mpp and no level is given, when the level is not there, or when the overlap is not less than the patch.
Tiling tile_slide(const Slide& slide, const TissueMask& tissue, const TilingOptions& options);

/// The pixels of a patch: patch x patch at the tiling's resolution.
RgbImage read_patch(const Slide& slide, const Patch& patch, const TilingOptions& options);

}  // namespace mt::wsi
