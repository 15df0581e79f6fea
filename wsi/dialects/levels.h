#pragma once
// Which images of a file are the levels of one pyramid.

#include <vector>

#include "wsi/pyramid.h"

namespace mt::wsi {

/// Whether `page` can be a coarser level of `finest`: both sides are those of `finest` divided by one whole
/// number from 2 on, each within a pixel of rounding. `padding`: pixels that a page may be larger, where the
/// writer fills up its last tiles.
bool is_reduction_of(const TiffDirectory& finest, const TiffDirectory& page, int64_t padding_x = 0,
                     int64_t padding_y = 0);

/// A label, macro, thumbnail or overview by its description: never a level, whatever its shape.
bool is_named_picture(const TiffDirectory& page);

/// The tiled images of a file that may be levels: no masks, no named pictures.
std::vector<const TiffDirectory*> pyramid_pages(const TiffFile& file);

/// Fills facts.levels from `pages`, which are tiled and may be levels. Level 0 is the first, or the largest
/// that the first is a reduction of (some write the smallest first). What is of another shape is left out
/// with a note; so are further images of level 0's size, which are focal planes, unless they are grey: then
/// they are the channels of a fluorescence slide, which is an Error.
void add_levels(const std::vector<const TiffDirectory*>& pages, Facts& facts);

/// The physical size of a pixel by the resolution tags: um/px of x and y, as said, credible or not. Nothing
/// when there are none, or in a unit that is no length.
struct TagMpp {
  double x, y;
};
std::optional<TagMpp> resolution_mpp(const TiffDirectory& page);

}  // namespace mt::wsi
