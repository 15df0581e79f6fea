#pragma once
// What goes wrong between the tissue and the picture: places out of focus, pen on the glass, dust.

#include "tensor/rng.h"
#include "wsi/image.h"
#include "wsi/phantom/canvas.h"
#include "wsi/phantom/geometry.h"

namespace mt::wsi {

/// Blurs a round area with a soft edge on some slides; returns whether it did.
bool defocus(Canvas& canvas, float mpp, RandomStream& random);
/// Specks of dust, out of focus, on glass and tissue alike.
void scatter_dust(RgbImage& image, float mpp, RandomStream& random);
/// A stroke or two of a marker pen on the glass, beside the tissue.
void draw_pen(RgbImage& image, const Geometry& geometry, float mpp, RandomStream& random);

}  // namespace mt::wsi
