// Any tiled TIFF: one image, or a pyramid in the chain of images or in the SubIFDs of the first.

#include "wsi/dialects/dialect.h"
#include "wsi/dialects/levels.h"

namespace mt::wsi {
namespace {

bool detect(const TiffFile& file) {
  return file.first().tiled;
}

Facts open(const TiffFile& file) {
  Facts facts;
  add_levels(pyramid_pages(file), facts);
  if (const auto mpp = resolution_mpp(*facts.levels.front().directory)) {
    facts.mpp_x = mpp->x;
    facts.mpp_y = mpp->y;
    facts.mpp_source = "its resolution tag";
  }
  return facts;
}

}  // namespace

const Dialect kGeneric = {"generic", detect, open};

}  // namespace mt::wsi
