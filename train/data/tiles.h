#pragma once
// The patches of each slide: where they lie and what is known about them.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "train/data/datasets/dataset.h"
#include "train/settings/config.h"
#include "wsi/annotation.h"
#include "wsi/slide.h"

namespace mt::train {

/// The tiling of one slide. All vectors have one entry per patch, in row-major order of the grid.
struct SlideTiles {
  std::vector<int64_t> x_level0;
  std::vector<int64_t> y_level0;
  std::vector<float> tissue;  // share of the patch that is tissue
  std::vector<float> tumour;  // share inside the annotation; empty when the slide has no instance truth
  int64_t patch = 0;          // side in pixels as the encoder sees it
  double patch_level0 = 0;    // side in level-0 pixels
  double mpp = 0;             // of the patch; 0 when read natively from a slide that does not say
  int level = -1;             // native level, or -1: resampled to mpp
  int64_t level0_width = 0;
  int64_t level0_height = 0;
  std::string made_from;  // hash of what decides all this: tiles_key() of run/manifest.h

  int64_t count() const { return static_cast<int64_t>(x_level0.size()); }
};

/// A slide of the dataset with its patches; no patches where the run has features only.
struct TiledSlide {
  SlideRecord record;
  SlideTiles tiles;
};

/// The slides of a run that has features only.
std::vector<TiledSlide> without_tiles(const Dataset& dataset);

/// How patches are read: "0.5" → {mpp 0.5, level −1}; "native:1" → {level 1}. Throws UsageError.
struct PatchScale {
  double mpp = 0;
  int level = -1;
};
PatchScale parse_patch_scale(const std::string& text);

/// Opens a slide: the record's own mpp stands in place of what the slide says, --mpp-override where it says
/// nothing.
std::unique_ptr<wsi::Slide> open_slide(const SlideRecord& record, const Config& config);

/// Whether the slide is given --mpp-override, as it says nothing itself.
bool is_given_mpp(const SlideRecord& record, const Config& config);

/// A patch may show its slide magnified by this much; beyond, its pixels would be made up.
constexpr double kMostMagnified = 1.5;

/// Throws Error naming the slide when it cannot be read at the run's scale: it has not that level, says no
/// mpp, or is coarser than the patches by more than kMostMagnified.
void check_scale(const SlideRecord& record, const wsi::Slide& slide, const Config& config);

/// Throws Error when outlines and label contradict each other: a positive slide's file without an outline of
/// tumour on the slide, outlines of tumour on a negative slide.
void check_outlines(const SlideRecord& record, const wsi::Annotations& outlines, const wsi::Slide& slide);

/// Tissue, grid, and the annotation's share of every patch. Throws Error naming the slide when it has no
/// tissue, is smaller than a patch, cannot be read at the run's scale, or when its outlines touch no patch.
SlideTiles make_tiles(const SlideRecord& record, const wsi::Slide& slide, const Config& config);

/// Notes slides with outlines of which no patch is tumour by config.tumour_overlap: their patches count as
/// not being tumour, all of them.
void note_small_outlines(Dataset& dataset, const std::vector<TiledSlide>& slides, const Config& config);

/// The slide's outlines with the run's names of tumour (--tumour-groups). Throws Error.
wsi::Annotations read_outlines(const SlideRecord& record, const Config& config);

/// A sealed safetensors file. Reading throws Error, which says what to do, when the file is damaged.
void write_tiles(const std::filesystem::path& path, const SlideTiles& tiles);
SlideTiles read_tiles(const std::filesystem::path& path);

}  // namespace mt::train
