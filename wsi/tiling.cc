#include "wsi/tiling.h"

#include <algorithm>
#include <cmath>

#include "tensor/check.h"
#include "tensor/parallel.h"

namespace mt::wsi {
namespace {

/// Level-0 pixels per pixel of a patch.
double patch_downsample(const Slide& slide, const TilingOptions& options) {
  if (options.level) {
    check(*options.level >= 0 && *options.level < slide.level_count(),
          "{}: has no level {}; its levels are 0 to {}", slide.path().string(), *options.level,
          slide.level_count() - 1);
    return slide.levels()[static_cast<std::size_t>(*options.level)].downsample;
  }
  check(std::isfinite(options.mpp) && options.mpp > 0, "tiling: {} um/px is not a resolution", options.mpp);
  const double wanted = options.mpp / slide.required_mpp();
  for (const Level& level : slide.levels()) {
    if (std::abs(wanted / level.downsample - 1) <= Slide::kSameMpp) return level.downsample;
  }
  return wanted;
}

/// Left edges of the columns (or upper edges of the rows).
std::vector<int64_t> grid_positions(int64_t side_level0, double patch_level0, double step_level0) {
  std::vector<int64_t> positions;
  for (int64_t i = 0;; ++i) {
    const int64_t position = std::llround(static_cast<double>(i) * step_level0);
    if (static_cast<double>(position) + patch_level0 > static_cast<double>(side_level0) + 0.5)
      return positions;
    positions.push_back(position);
  }
}

}  // namespace

Tiling tile_slide(const Slide& slide, const TissueMask& tissue, const TilingOptions& options) {
  check(options.patch > 0 && options.overlap >= 0 && options.overlap < options.patch,
        "tiling: patches of {} px with an overlap of {} px; the overlap must be less than the patch",
        options.patch, options.overlap);
  const double downsample = patch_downsample(slide, options);
  Tiling tiling;
  tiling.patch_level0 = static_cast<double>(options.patch) * downsample;
  tiling.mpp = slide.mpp().value_or(0) * downsample;
  const double step = static_cast<double>(options.patch - options.overlap) * downsample;
  check(step >= 1, "{}: patches of {} px would lie less than a pixel apart; use a coarser resolution",
        slide.path().string(), options.patch);
  const std::vector<int64_t> columns = grid_positions(slide.levels()[0].width, tiling.patch_level0, step);
  const std::vector<int64_t> rows = grid_positions(slide.levels()[0].height, tiling.patch_level0, step);
  tiling.grid_patches = static_cast<int64_t>(columns.size() * rows.size());

  std::vector<Patch> grid(static_cast<std::size_t>(tiling.grid_patches));
  std::vector<uint8_t> kept(grid.size());
  parallel_for(tiling.grid_patches, 64, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const auto index = static_cast<std::size_t>(i);
      const int64_t x = columns[index % columns.size()];
      const int64_t y = rows[index / columns.size()];
      const double share =
          tissue.fraction(static_cast<double>(x), static_cast<double>(y), tiling.patch_level0);
      grid[index] = {x, y, static_cast<float>(share)};
      kept[index] = options.min_edge_score
                        ? edge_score(read_patch(slide, grid[index], options)) > *options.min_edge_score
                        : share >= options.min_tissue;
    }
  });
  for (std::size_t i = 0; i < grid.size(); ++i) {
    if (kept[i] != 0) tiling.patches.push_back(grid[i]);
  }
  return tiling;
}

RgbImage read_patch(const Slide& slide, const Patch& patch, const TilingOptions& options) {
  if (options.level) {
    return slide.read_region(patch.x_level0, patch.y_level0, *options.level, options.patch, options.patch);
  }
  return slide.read_at_mpp(patch.x_level0, patch.y_level0, options.mpp, options.patch, options.patch);
}

}  // namespace mt::wsi
