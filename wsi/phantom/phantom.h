#pragma once
// A phantom slide: H&E-like tissue whose truth is known at every point. See README.md for the recipe.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "wsi/annotation.h"
#include "wsi/image.h"
#include "wsi/phantom/geometry.h"

namespace mt::wsi {

/// standard: 5-30 % of the tissue of a positive slide is tumour; hard: 1-10 %. Log-uniform.
enum class PhantomDifficulty { standard, hard };

struct PhantomOptions {
  uint64_t seed = 1;
  PhantomDifficulty difficulty = PhantomDifficulty::standard;
  float mpp = 0.5F;  // of level 0
};

/// The commonest tissue of a square of kTruthCellUm on the grid from the slide's upper left corner.
struct TissueCell {
  int64_t x_level0, y_level0, size_level0;
  TissueType type;
  float tissue_share;  // of the cell that is not glass
  float tumour_share;  // of the cell
};
constexpr float kTruthCellUm = 64.0F;

struct PhantomSlide {
  std::string name;
  float mpp = 0.5F;
  RgbImage image;         // level 0
  double tissue_um2 = 0;  // as drawn
  double tumour_um2 = 0;
  Annotations tumour;  // outlines in level-0 pixels, holes as such
  std::vector<TissueCell> cells;
  NodeGrid tissue;  // positive where there is tissue (droplets of fat and lumina included), in micrometres
  bool pen = false;
  bool out_of_focus = false;
};

/// The slide called `name`: the same bytes for the same seed and name, whatever the thread count.
PhantomSlide render_phantom(std::string_view name, bool tumour, const PhantomOptions& options);

}  // namespace mt::wsi
