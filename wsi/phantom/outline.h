#pragma once
// From a field to its outlines.

#include <vector>

#include "wsi/annotation.h"
#include "wsi/phantom/geometry.h"

namespace mt::wsi {

/// The zero lines of a field (marching squares, linear between nodes), as closed polygons in level-0 pixels.
/// Those around lower ground are `excluded`. The grid's border counts as outside.
std::vector<Polygon> trace_outlines(const NodeGrid& field, float mpp);

}  // namespace mt::wsi
