#include "wsi/phantom/background.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace mt::wsi {
namespace {

/// Ground densities of a tissue and how much of its texture is collagen or fat.
struct Ground {
  float eosin, haematoxylin, fibres, fat;
};

constexpr std::array<Ground, kTissueTypes> kGrounds = {{
    {0.0F, 0.0F, 0.0F, 0.0F},    // glass
    {0.62F, 0.07F, 1.0F, 0.0F},  // stroma
    {0.45F, 0.05F, 0.2F, 1.0F},  // fat
    {0.22F, 0.12F, 0.0F, 0.0F},  // lymphocytes
    {0.30F, 0.16F, 0.0F, 0.0F},  // germinal centre
    {0.48F, 0.08F, 0.0F, 0.0F},  // histiocytes
    {0.40F, 0.16F, 0.0F, 0.0F},  // tumour
}};

/// The ground at the nodes, smoothed so that tissues flow into each other.
struct GroundMaps {
  NodeGrid eosin, haematoxylin, fibres, fat, presence, across_x, across_y;
};

NodeGrid smoothed(const NodeGrid& grid) {
  NodeGrid result = grid;
  gaussian_blur(result.values, grid.nodes_x, 0, 0, grid.nodes_x, grid.nodes_y, 0.9F);
  return result;
}

GroundMaps ground_maps(const Geometry& geometry) {
  const NodeGrid& like = geometry.island();
  GroundMaps maps{like, like, like, like, like, like, like};
  for (int iy = 0; iy < like.nodes_y; ++iy) {
    for (int ix = 0; ix < like.nodes_x; ++ix) {
      const float x = static_cast<float>(ix) * like.spacing_um;
      const float y = static_cast<float>(iy) * like.spacing_um;
      const Region& region = geometry.region(x, y);
      const bool tumour = geometry.tumour()(x, y) > 0.0F;
      const Ground& ground = kGrounds[static_cast<std::size_t>(tumour ? TissueType::tumour : region.type)];
      maps.eosin.at(ix, iy) = ground.eosin;
      maps.haematoxylin.at(ix, iy) = ground.haematoxylin;
      maps.fibres.at(ix, iy) = ground.fibres;
      maps.fat.at(ix, iy) = ground.fat;
      maps.presence.at(ix, iy) = geometry.presence(x, y);
      maps.across_x.at(ix, iy) = -std::sin(region.fibre_angle);
      maps.across_y.at(ix, iy) = std::cos(region.fibre_angle);
    }
  }
  for (NodeGrid* map : {&maps.eosin, &maps.haematoxylin, &maps.fibres, &maps.fat}) *map = smoothed(*map);
  return maps;
}

/// All maps at one place.
struct GroundAt {
  float eosin, haematoxylin, fibres, fat, presence, across_x, across_y;
};

/// The maps along a horizontal line, one entry per column of nodes: done once per row of pixels.
std::vector<GroundAt> ground_row(const GroundMaps& maps, float y) {
  std::vector<GroundAt> row;
  for (int ix = 0; ix < maps.presence.nodes_x; ++ix) {
    const NodeGrid::Place place = maps.presence.place(static_cast<float>(ix) * maps.presence.spacing_um, y);
    row.push_back({maps.eosin(place), maps.haematoxylin(place), maps.fibres(place), maps.fat(place),
                   maps.presence(place), maps.across_x(place), maps.across_y(place)});
  }
  return row;
}

/// Between two nodes of a row; `position` in nodes.
GroundAt between(const std::vector<GroundAt>& row, float position) {
  const auto left = std::min(static_cast<std::size_t>(position), row.size() - 2);
  const float t = position - static_cast<float>(left);
  const GroundAt& a = row[left];
  const GroundAt& b = row[left + 1];
  const auto lerp = [t](float from, float to) { return from + t * (to - from); };
  return {lerp(a.eosin, b.eosin),      lerp(a.haematoxylin, b.haematoxylin), lerp(a.fibres, b.fibres),
          lerp(a.fat, b.fat),          lerp(a.presence, b.presence),         lerp(a.across_x, b.across_x),
          lerp(a.across_y, b.across_y)};
}

/// Fat cells: the cells of a Voronoi diagram around jittered centres, with thin walls between them.
class FatCells {
 public:
  FatCells(float width_um, float height_um, RandomStream& random)
      : columns_(static_cast<int>(width_um / kSpacing) + 4),
        rows_(static_cast<int>(height_um / kSpacing) + 4) {
    centres_.resize(static_cast<std::size_t>(columns_) * rows_);
    for (Centre& centre : centres_) {
      centre = {random.uniform(0.15F, 0.85F), random.uniform(0.15F, 0.85F),
                random.uniform(0.42F, 0.62F) * kSpacing};
    }
  }

  /// 1 in a droplet, 0 in the walls.
  float droplet(float x_um, float y_um) const {
    const int column = std::clamp(static_cast<int>(x_um / kSpacing) + 1, 1, columns_ - 2);
    const int row = std::clamp(static_cast<int>(y_um / kSpacing) + 1, 1, rows_ - 2);
    float first = 1e9F;
    float second = 1e9F;
    for (int j = row - 1; j <= row + 1; ++j) {
      for (int i = column - 1; i <= column + 1; ++i) {
        const Centre& centre = centres_[static_cast<std::size_t>(j) * columns_ + i];
        const float dx = (static_cast<float>(i - 1) + centre.x) * kSpacing - x_um;
        const float dy = (static_cast<float>(j - 1) + centre.y) * kSpacing - y_um;
        const float depth = std::sqrt(dx * dx + dy * dy) - centre.radius;
        second = std::min(second, std::max(first, depth));
        first = std::min(first, depth);
      }
    }
    const float wall = std::min(0.5F * (second - first), -first);
    return smooth_step(0.5F, 1.4F, wall);
  }

 private:
  struct Centre {
    float x, y, radius;
  };
  static constexpr float kSpacing = 34.0F;
  int columns_, rows_;
  std::vector<Centre> centres_;
};

/// Wavy bundles: noise drawn out along the fibres' direction, its lines bent by a slow field. 0 in the clefts
/// between bundles, about 1 in dense collagen.
class Collagen {
 public:
  explicit Collagen(RandomStream& random)
      : bend_(random, 30.0F), bundle_(random, 5.5F), fibril_(random, 1.9F) {}

  float operator()(float x, float y, float across_x, float across_y) const {
    const float across = x * across_x + y * across_y + 6.0F * bend_(x, y);
    const float along = x * across_y - y * across_x;
    const float bundle = bundle_(across, along * 0.10F);
    const float fibril = fibril_(across, along * 0.06F);
    const float cleft = smooth_step(0.75F, 1.25F, bundle + 0.4F * fibril);
    return (1.0F + 0.22F * bundle + 0.20F * fibril) * (1.0F - 0.75F * cleft);
  }

 private:
  NoiseField bend_, bundle_, fibril_;
};

}  // namespace

void draw_background(Canvas& canvas, const Geometry& geometry, float mpp, RandomStream& random) {
  const GroundMaps maps = ground_maps(geometry);
  const FatCells fat_cells(geometry.options().width_um, geometry.options().height_um, random);
  const Collagen collagen(random);
  const NoiseField cytoplasm(random, 5.0F);
  const NoiseField grain(random, 1.6F);
  for (int64_t py = 0; py < canvas.height; ++py) {
    const float y = (static_cast<float>(py) + 0.5F) * mpp;
    const std::vector<GroundAt> row = ground_row(maps, y);
    for (int64_t px = 0; px < canvas.width; ++px) {
      const float x = (static_cast<float>(px) + 0.5F) * mpp;
      const GroundAt ground = between(row, x / maps.presence.spacing_um);
      if (ground.presence <= 0.0F) continue;
      const float cloud = cytoplasm(x, y);
      float eosin = ground.eosin * (1.0F + 0.28F * cloud + 0.14F * grain(x, y));
      if (ground.fibres > 0.02F) {
        eosin *= 1.0F + ground.fibres * (collagen(x, y, ground.across_x, ground.across_y) - 1.0F);
      }
      float left = ground.presence;
      if (ground.fat > 0.05F) left *= 1.0F - fat_cells.droplet(x, y) * smooth_step(0.3F, 0.7F, ground.fat);
      const std::size_t i = canvas.index(px, py);
      canvas.eosin[i] = std::max(0.0F, eosin) * left;
      canvas.haematoxylin[i] = ground.haematoxylin * (1.0F - 0.4F * cloud) * left;
    }
  }
}

}  // namespace mt::wsi
