// slide tissue: the tissue mask, the grid of patches and, if given, the annotation, over a thumbnail.

#include <fmt/format.h>

#include <algorithm>

#include "tensor/check.h"
#include "train/cli/slide_commands/command.h"
#include "wsi/annotation.h"
#include "wsi/heatmap.h"
#include "wsi/png.h"
#include "wsi/slide.h"
#include "wsi/tiling.h"
#include "wsi/tissue.h"

namespace mt::train {
namespace {

/// The patches as thin squares, so that one sees what a run would read.
wsi::Annotations squares(const wsi::Tiling& tiling) {
  std::vector<wsi::Polygon> polygons;
  for (const wsi::Patch& patch : tiling.patches) {
    const auto x = static_cast<double>(patch.x_level0);
    const auto y = static_cast<double>(patch.y_level0);
    const double side = tiling.patch_level0;
    polygons.push_back({"", "", {{x, y}, {x + side, y}, {x + side, y + side}, {x, y + side}}, true});
  }
  return wsi::Annotations(std::move(polygons));
}

}  // namespace

void run_tissue(TissueOptions options) {
  const auto slide = options.slide.open();
  options.tissue.otsu = !options.fixed_threshold;
  const wsi::TissueMask mask = wsi::find_tissue(*slide, options.tissue);
  wsi::RgbImage picture = slide->thumbnail(options.size);
  const wsi::ThumbnailScale scale(picture, slide->levels()[0]);
  wsi::shade_outside(picture, mask);
  if (slide->mpp() || options.tiling.level) {
    const wsi::Tiling tiling = wsi::tile_slide(*slide, mask, options.tiling);
    wsi::draw_outlines(picture, scale, squares(tiling), {0, 0, 0}, 1);
    fmt::print("{} of {} patches of {} px ({:.1f} level-0 px) hold at least {:g} % tissue\n",
               tiling.patches.size(), tiling.grid_patches, options.tiling.patch, tiling.patch_level0,
               100 * options.tiling.min_tissue);
  } else {
    fmt::print("the slide does not say its um/px, so no patches are drawn; give --mpp-override or --level\n");
  }
  if (!options.annotation.empty())
    wsi::draw_outlines(picture, scale, wsi::read_annotations(options.annotation, options.tumour_groups));
  wsi::write_png(options.output, picture);
  const auto tissue = std::count(mask.pixels.begin(), mask.pixels.end(), 1);
  fmt::print("{}: {} x {} pixels, {:.1f} % of the slide is tissue\n", options.output, picture.width,
             picture.height, 100.0 * static_cast<double>(tissue) / static_cast<double>(mask.pixels.size()));
}

}  // namespace mt::train
