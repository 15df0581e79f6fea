// slide tissue: the tissue mask, the grid of patches and, if given, the annotation, over a thumbnail.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "tensor/check.h"
#include "train/slide_commands/command.h"
#include "wsi/annotation.h"
#include "wsi/heatmap.h"
#include "wsi/png.h"
#include "wsi/slide.h"
#include "wsi/tiling.h"
#include "wsi/tissue.h"

namespace mt::train {
namespace {

struct TissueCommand {
  SlideArguments slide;
  std::string output;
  std::string annotation;
  std::vector<std::string> tumour_groups;
  int64_t size = 1536;
  wsi::TissueOptions tissue;
  wsi::TilingOptions tiling;
  bool fixed_threshold = false;
};

/// The patches as thin squares, so that one sees what a run would read.
wsi::Annotations squares(const wsi::Tiling& tiling) {
  std::vector<wsi::Polygon> polygons;
  for (const wsi::Tile& tile : tiling.tiles) {
    const auto x = static_cast<double>(tile.x_level0);
    const auto y = static_cast<double>(tile.y_level0);
    const double side = tiling.patch_level0;
    polygons.push_back({"", "", {{x, y}, {x + side, y}, {x + side, y + side}, {x, y + side}}, true});
  }
  return wsi::Annotations(std::move(polygons));
}

void run(TissueCommand command) {
  const auto slide = command.slide.open();
  command.tissue.otsu = !command.fixed_threshold;
  const wsi::TissueMask mask = wsi::find_tissue(*slide, command.tissue);
  wsi::RgbImage picture = slide->thumbnail(command.size);
  const wsi::ThumbnailScale scale(picture, slide->levels()[0]);
  wsi::shade_outside(picture, mask);
  if (slide->mpp() || command.tiling.level) {
    const wsi::Tiling tiling = wsi::tile_slide(*slide, mask, command.tiling);
    wsi::draw_outlines(picture, scale, squares(tiling), {0, 0, 0}, 1);
    fmt::print("{} of {} patches of {} px ({:.1f} level-0 px) hold at least {:g} % tissue\n",
               tiling.tiles.size(), tiling.grid_tiles, command.tiling.patch, tiling.patch_level0,
               100 * command.tiling.min_tissue);
  } else {
    fmt::print("the slide does not say its um/px, so no patches are drawn; give --mpp-override or --level\n");
  }
  if (!command.annotation.empty())
    wsi::draw_outlines(picture, scale, wsi::read_annotations(command.annotation, command.tumour_groups));
  wsi::write_png(command.output, picture);
  const auto tissue = std::count(mask.pixels.begin(), mask.pixels.end(), 1);
  fmt::print("{}: {} x {} pixels, {:.1f} % of the slide is tissue\n", command.output, picture.width,
             picture.height, 100.0 * static_cast<double>(tissue) / static_cast<double>(mask.pixels.size()));
}

}  // namespace

void add_tissue_command(CLI::App& program) {
  CLI::App* command =
      program.add_subcommand("tissue", "Write the tissue mask and the grid of patches as a PNG");
  auto options = std::make_shared<TissueCommand>();
  options->slide.add_to(*command);
  command->add_option("OUT", options->output, "PNG file to write")->required();
  command->add_option("--size", options->size, "Pixels of the longer side")
      ->capture_default_str()
      ->check(CLI::Range(1, 16384));
  command->add_option("--annotation", options->annotation,
                      "Outlines that are drawn as well: ASAP XML, or GeoJSON from QuPath");
  command
      ->add_option("--tumour-groups", options->tumour_groups,
                   "Its groups or classes, comma-separated, that are tumour beside Tumor, _0 and _1")
      ->delimiter(',');
  command->add_option("--patch", options->tiling.patch, "Side of a patch in pixels")
      ->capture_default_str()
      ->check(CLI::Range(8, 8192));
  command->add_option("--overlap", options->tiling.overlap, "Pixels that neighbouring patches share")
      ->capture_default_str()
      ->check(CLI::Range(0, 8191));
  command->add_option("--mpp", options->tiling.mpp, "Micrometres per pixel of a patch")
      ->capture_default_str()
      ->check(CLI::Range(0.01, 1000.0));
  command->add_option("--level", options->tiling.level,
                      "Lay the grid on this level as it is, instead of --mpp");
  command
      ->add_option("--min-tissue", options->tiling.min_tissue, "Least share of a patch that must be tissue")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 1.0));
  command->add_option("--edge-rule", options->tiling.min_edge_score,
                      "Keep patches by DSMIL's edge score above this (theirs: 15), not by the mask");
  command->add_flag("--fixed-threshold", options->fixed_threshold,
                    "CLAM's fixed threshold on saturation, not Otsu's");
  command
      ->add_option("--saturation", options->tissue.saturation_threshold,
                   "That threshold, and the least that Otsu may answer")
      ->capture_default_str()
      ->check(CLI::Range(0, 254));
  command->footer(
      "Example: slide tissue tumor_001.tif tissue.png --patch 64 --mpp 1 --annotation tumor_001.xml");
  command->callback([options] { run(*options); });
}

}  // namespace mt::train
