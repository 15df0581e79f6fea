#pragma once
// The grid of patches over a slide's tissue.

#include <cstdint>
#include <optional>
#include <vector>

#include "wsi/slide.h"
#include "wsi/tissue.h"

namespace mt::wsi {

struct TilingOptions {
  int64_t patch = 224;       // pixels of a side, as the network sees it
  double mpp = 0.5;          // micrometres per pixel of a patch
  std::optional<int> level;  // `native:LEVEL`: read this level as it is, whatever its mpp
  int64_t overlap = 0;       // pixels of a patch shared with its neighbour
  double min_tissue = 0.5;   // least share of a patch that must be tissue
};

/// Upper left corner in level-0 pixels, and the share of the patch that is tissue.
struct Tile {
  int64_t x_level0 = 0;
  int64_t y_level0 = 0;
  float tissue_fraction = 0;
};

struct Tiling {
  double patch_level0 = 0;  // side of a patch in level-0 pixels; need not be whole
  double mpp = 0;           // of a patch's pixel; 0 when the slide has none (only with `level`)
  std::vector<Tile> tiles;  // row by row
};

/// The patches that lie wholly within the slide. Patch (i, j) starts at round(i * step), so that rounding
/// never adds up. Throws when the slide has no mpp and no level is given, when the level is not there, or
/// when overlap >= patch.
Tiling tile_slide(const Slide& slide, const TissueMask& tissue, const TilingOptions& options);

}  // namespace mt::wsi
