#pragma once
// From patches with scores to the outlines of regions, for programs that show annotations.

#include <span>
#include <vector>

#include "wsi/annotation.h"
#include "wsi/heatmap.h"

namespace mt::wsi {

/// Patches of a grid whose score is at least `at_least`, joined where they share a side (not a corner), one
/// polygon with its holes a region, the highest score first. `step_level0` is the distance of neighbours on
/// the grid: column i starts at round(i * step), as tile_slide() lays it. Where patches overlap, each stands
/// for the step around its centre. A region's name says how many patches it has and its highest score.
/// NaN is no score.
std::vector<Polygon> trace_regions(std::span<const PatchScore> patches, double patch_level0,
                                   double step_level0, float at_least);

/// The same of patches that another program laid: on a grid that begins anywhere, or on none (CLAM's begins
/// anew in each piece of tissue). Then every patch is a region.
std::vector<Polygon> trace_regions_anywhere(std::span<const PatchScore> patches, double patch_level0,
                                            double step_level0, float at_least);

}  // namespace mt::wsi
