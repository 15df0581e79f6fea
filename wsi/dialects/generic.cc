// Any tiled TIFF: one image, or a pyramid in the chain of images or in the SubIFDs of the first.

#include <algorithm>
#include <cmath>

#include "wsi/codecs/codec.h"
#include "wsi/dialects/dialect.h"

namespace mt::wsi {
namespace {

/// Coarser than this is the resolution of a screen or a printer (72 dpi = 353 um/px, 1200 dpi = 21 um/px)
/// that a program wrote because TIFF asks for one; no scanner's finest level is so coarse.
constexpr double kCoarsestCredibleMpp = 20.0;

bool detect(const TiffFile& file) {
  const TiffDirectory& first = file.first();
  // Slides of these scanners are tiled, but their tiles or images have to be joined by rules that are not
  // known here.
  const bool leica = first.description.find("www.leica-microsystems.com/scn") != std::string::npos;
  const bool ventana = first.xmp.find("iScan") != std::string::npos;
  return first.tiled && !leica && !ventana;
}

std::optional<double> credible_mpp(double pixels_per_unit, uint16_t unit) {
  const double micrometres = unit == 2 ? 25400.0 : unit == 3 ? 10000.0 : 0.0;
  const double mpp = micrometres / pixels_per_unit;
  if (!std::isfinite(mpp) || mpp <= 0 || mpp > kCoarsestCredibleMpp) return std::nullopt;
  return mpp;
}

/// A page of the same shape, allowing for one pixel of rounding at the smaller size.
bool is_reduction_of(const TiffDirectory& first, const TiffDirectory& page) {
  if (page.width >= first.width || page.height >= first.height) return false;
  const double expected =
      static_cast<double>(first.height) * static_cast<double>(page.width) / static_cast<double>(first.width);
  const double one_column = static_cast<double>(first.height) / static_cast<double>(first.width);
  return std::abs(static_cast<double>(page.height) - expected) <= 1.0 + one_column;
}

bool is_level(const TiffDirectory& first, const TiffDirectory& page) {
  if (!page.tiled || (page.subfile_type & kTiffMask) != 0) return false;
  if (page.is_subifd) return page.index == 0 && is_reduction_of(first, page);
  return (page.subfile_type & kTiffReducedImage) != 0 || is_reduction_of(first, page);
}

Facts open(const TiffFile& file) {
  const TiffDirectory& first = file.first();
  std::vector<const TiffDirectory*> pages{&first};
  for (const TiffDirectory& page : file.directories()) {
    if (&page != &first && is_level(first, page)) pages.push_back(&page);
  }
  std::stable_sort(pages.begin() + 1, pages.end(),
                   [](const TiffDirectory* a, const TiffDirectory* b) { return a->width > b->width; });
  Facts facts;
  for (const TiffDirectory* page : pages) {
    // Of several pages of one size the first is the level; the others are planes or channels.
    if (!facts.levels.empty() && page->width >= facts.levels.back().level.width) continue;
    facts.levels.push_back({{page->width, page->height, 0}, page});
  }
  facts.mpp_x = credible_mpp(first.x_resolution, first.resolution_unit);
  facts.mpp_y = credible_mpp(first.y_resolution, first.resolution_unit);
  return facts;
}

}  // namespace

const Dialect kGeneric = {"generic", detect, open};

}  // namespace mt::wsi
