#pragma once
// What lies between the nuclei: cytoplasm, collagen, fat.

#include "tensor/rng.h"
#include "wsi/phantom/canvas.h"
#include "wsi/phantom/geometry.h"

namespace mt::wsi {

/// Fills the canvas with everything but nuclei and holes. The canvas spans the geometry at `mpp`.
void draw_background(Canvas& canvas, const Geometry& geometry, float mpp, RandomStream& random);

}  // namespace mt::wsi
