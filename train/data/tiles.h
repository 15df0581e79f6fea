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

/// How patches are read: "0.5" → {mpp 0.5, level −1}; "native:1" → {level 1}. Throws UsageError.
struct PatchScale {
  double mpp = 0;
  int level = -1;
};
PatchScale parse_patch_scale(const std::string& text);

/// Opens a slide with the run's overrides (--mpp-override).
std::unique_ptr<wsi::Slide> open_slide(const SlideRecord& record, const Config& config);

/// Tissue, grid, and the annotation's share of every patch. Throws Error naming the slide when it has no
/// tissue or no mpp.
SlideTiles make_tiles(const SlideRecord& record, const wsi::Slide& slide, const Config& config);

/// The slide's outlines with the run's names of tumour (--tumour-groups). Throws Error.
wsi::Annotations read_outlines(const SlideRecord& record, const Config& config);

/// A sealed safetensors file. Reading throws Error, which says what to do, when the file is damaged.
void write_tiles(const std::filesystem::path& path, const SlideTiles& tiles);
SlideTiles read_tiles(const std::filesystem::path& path);

}  // namespace mt::train
