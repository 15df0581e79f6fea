#pragma once
// Where each tissue lies on a phantom slide, in micrometres, before anything is drawn.

#include <array>
#include <cstdint>
#include <vector>

#include "tensor/rng.h"
#include "wsi/phantom/noise.h"

namespace mt::wsi {

/// The order is that of the columns in tissue_types.csv.
enum class TissueType : uint8_t { glass, stroma, fat, lymphocytes, germinal_centre, histiocytes, tumour };
constexpr int kTissueTypes = 7;
const char* tissue_name(TissueType type);

/// A field sampled every `spacing_um` and bilinear between the nodes. (nodes_y,nodes_x), row-major.
struct NodeGrid {
  float spacing_um = 4.0F;
  int nodes_x = 0;
  int nodes_y = 0;
  std::vector<float> values;

  NodeGrid() = default;
  NodeGrid(float width_um, float height_um, float spacing);
  float& at(int x, int y) { return values[static_cast<std::size_t>(y) * nodes_x + x]; }
  float at(int x, int y) const { return values[static_cast<std::size_t>(y) * nodes_x + x]; }
  /// The square of nodes around a place (clamped to the grid) and where in it the place lies. Grids of one
  /// size can share it.
  struct Place {
    std::size_t upper_left;
    float tx, ty;
  };
  Place place(float x_um, float y_um) const;
  float operator()(Place place) const {
    const float* top = values.data() + place.upper_left;
    const float* bottom = top + nodes_x;
    const float above = top[0] + place.tx * (top[1] - top[0]);
    const float below = bottom[0] + place.tx * (bottom[1] - bottom[0]);
    return above + place.ty * (below - above);
  }
  float operator()(float x_um, float y_um) const { return (*this)(place(x_um, y_um)); }
};

/// A patch of one tissue, the cell of a warped Voronoi diagram around (x, y).
struct Region {
  float x_um, y_um;
  TissueType type;
  float fibre_angle;   // of collagen, radians
  float infiltration;  // share of places where a lymphocyte is mixed in
};

struct GeometryOptions {
  float width_um = 640.0F;
  float height_um = 640.0F;
  float tissue_um2 = 60 * 64.0F * 64.0F;
  float tumour_share = 0.0F;      // of the tissue; 0 = normal slide
  float region_size_um = 200.0F;  // mean diameter of a region
};

/// All fields are positive inside and zero on the outline.
class Geometry {
 public:
  Geometry(const GeometryOptions& options, RandomStream& random);

  const GeometryOptions& options() const { return options_; }
  const NodeGrid& island() const { return island_; }
  /// Negative everywhere on a normal slide.
  const NodeGrid& tumour() const { return tumour_; }
  /// How far the tissue is present, 0 on glass to 1 inside, with a soft edge.
  float presence(float x_um, float y_um) const { return smooth_step(-0.01F, 0.03F, island_(x_um, y_um)); }
  /// The benign region at a place, as if there were neither glass nor tumour.
  const Region& region(float x_um, float y_um) const;
  TissueType type(float x_um, float y_um) const;

 private:
  void place_island(RandomStream& random);
  void place_regions(RandomStream& random);
  void place_tumour(RandomStream& random);

  GeometryOptions options_;
  NoiseField warp_x_;
  NoiseField warp_y_;
  NodeGrid island_;
  NodeGrid tumour_;
  std::vector<Region> regions_;
};

}  // namespace mt::wsi
