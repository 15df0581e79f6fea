#include "wsi/phantom/geometry.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "tensor/check.h"

namespace mt::wsi {
namespace {

constexpr float kPi = std::numbers::pi_v<float>;
constexpr float kRimUm =
    40.0F;  // where tissue thins out towards the border; its outer quarter is always glass

struct Ellipse {
  float x, y, radius_x, radius_y, angle;

  /// 1 in the centre, 0 on the outline, negative outside.
  float depth(float px, float py) const {
    const float dx = px - x;
    const float dy = py - y;
    const float u = (dx * std::cos(angle) + dy * std::sin(angle)) / radius_x;
    const float v = (-dx * std::sin(angle) + dy * std::cos(angle)) / radius_y;
    return 1.0F - std::sqrt(u * u + v * v);
  }
};

float deepest(const std::vector<Ellipse>& ellipses, float x, float y) {
  float depth = -10.0F;
  for (const Ellipse& ellipse : ellipses) depth = std::max(depth, ellipse.depth(x, y));
  return depth;
}

/// Calls body(ix, iy, x_um, y_um) for every node.
template <typename Body>
void for_nodes(const NodeGrid& grid, const Body& body) {
  for (int iy = 0; iy < grid.nodes_y; ++iy) {
    for (int ix = 0; ix < grid.nodes_x; ++ix) {
      body(ix, iy, static_cast<float>(ix) * grid.spacing_um, static_cast<float>(iy) * grid.spacing_um);
    }
  }
}

/// The value that `count` of `values` are above.
float threshold_for_count(std::vector<float> values, std::size_t count) {
  check(count > 0 && count < values.size(), "phantom: {} of {} nodes cannot be inside; change the slide size",
        count, values.size());
  const auto nth = values.begin() + static_cast<std::ptrdiff_t>(count);
  std::nth_element(values.begin(), nth, values.end(), std::greater<>());
  return *nth;
}

}  // namespace

const char* tissue_name(TissueType type) {
  constexpr std::array<const char*, kTissueTypes> kNames = {
      "glass", "stroma", "fat", "lymphocytes", "germinal_centre", "histiocytes", "tumour"};
  return kNames[static_cast<std::size_t>(type)];
}

NodeGrid::NodeGrid(float width_um, float height_um, float spacing)
    : spacing_um(spacing),
      nodes_x(static_cast<int>(std::ceil(width_um / spacing)) + 1),
      nodes_y(static_cast<int>(std::ceil(height_um / spacing)) + 1),
      values(static_cast<std::size_t>(nodes_x) * nodes_y) {}

NodeGrid::Place NodeGrid::place(float x_um, float y_um) const {
  const float x = std::clamp(x_um / spacing_um, 0.0F, static_cast<float>(nodes_x - 1) - 1e-3F);
  const float y = std::clamp(y_um / spacing_um, 0.0F, static_cast<float>(nodes_y - 1) - 1e-3F);
  const int ix = static_cast<int>(x);
  const int iy = static_cast<int>(y);
  return {static_cast<std::size_t>(iy) * static_cast<std::size_t>(nodes_x) + static_cast<std::size_t>(ix),
          x - static_cast<float>(ix), y - static_cast<float>(iy)};
}

Geometry::Geometry(const GeometryOptions& options, RandomStream& random)
    : options_(options),
      warp_x_(random, 28.0F),
      warp_y_(random, 28.0F),
      island_(options.width_um, options.height_um, 4.0F),
      tumour_(options.width_um, options.height_um, 4.0F) {
  place_island(random);
  place_regions(random);
  place_tumour(random);
}

/// One to three lobes with a ragged outline, cut so that exactly the wanted area is tissue and a rim stays
/// glass.
void Geometry::place_island(RandomStream& random) {
  const float width = options_.width_um;
  const float height = options_.height_um;
  std::vector<Ellipse> lobes(1 + random.below(3));
  for (Ellipse& lobe : lobes) {
    const float spread = lobes.size() == 1 ? 0.06F : 0.24F;
    lobe = {width * (0.5F + random.uniform(-spread, spread)),
            height * (0.5F + random.uniform(-spread, spread)), width * random.uniform(0.24F, 0.42F),
            height * random.uniform(0.24F, 0.42F), random.uniform(0.0F, kPi)};
  }
  const NoiseField broad(random, 110.0F);
  const NoiseField fine(random, 24.0F);
  const NoiseField ragged(random, 7.0F);
  for_nodes(island_, [&](int ix, int iy, float x, float y) {
    const float wave = 0.16F * broad(x, y) + 0.045F * fine(x, y) + 0.015F * ragged(x, y);
    const float to_border = std::min({x, y, width - x, height - y});
    const float rim = std::max(0.0F, 1.0F - to_border / kRimUm);
    island_.at(ix, iy) = to_border < 0.25F * kRimUm ? -10.0F : deepest(lobes, x, y) + wave - 2.0F * rim * rim;
  });
  const float node_um2 = island_.spacing_um * island_.spacing_um;
  const float threshold =
      threshold_for_count(island_.values, static_cast<std::size_t>(options_.tissue_um2 / node_um2));
  for (float& value : island_.values) value -= threshold;
}

/// Seeds of the Voronoi diagram on a jittered grid. Each type's share of the slide follows the weights of the
/// recipe, times Gamma(8) with mean 1, so that no two slides are composed alike.
void Geometry::place_regions(RandomStream& random) {
  constexpr std::array<float, kTissueTypes> kWeights = {0, 4.0F, 1.2F, 6.0F, 1.8F, 1.2F, 0};
  std::array<float, kTissueTypes> weights{};
  float total = 0.0F;
  for (int type = 0; type < kTissueTypes; ++type) {
    weights[type] = kWeights[type] * random.gamma(8.0F) / 8.0F;
    total += weights[type];
  }
  const int columns =
      std::max(2, static_cast<int>(std::lround(options_.width_um / options_.region_size_um)) + 1);
  const int rows =
      std::max(2, static_cast<int>(std::lround(options_.height_um / options_.region_size_um)) + 1);
  const int count = columns * rows;
  // Systematic sampling keeps each slide's composition at its weights; independent draws would often leave a
  // type out.
  std::vector<TissueType> types;
  float position = random.uniform();
  float below = 0.0F;
  for (int type = 0; type < kTissueTypes; ++type) {
    below += weights[type] / total * static_cast<float>(count);
    for (; position < below; position += 1.0F) types.push_back(static_cast<TissueType>(type));
  }
  types.resize(static_cast<std::size_t>(count), TissueType::lymphocytes);
  random.shuffle(std::span<TissueType>(types));
  for (int i = 0; i < count; ++i) {
    const int grid_row = i / columns;
    const float column = static_cast<float>(i % columns) + random.uniform(0.1F, 0.9F);
    const float row = static_cast<float>(grid_row) + random.uniform(0.1F, 0.9F);
    const float u = random.uniform();
    regions_.push_back({column * options_.width_um / static_cast<float>(columns),
                        row * options_.height_um / static_cast<float>(rows),
                        types[static_cast<std::size_t>(i)], random.uniform(0.0F, kPi), 0.03F + 0.3F * u * u});
  }
}

/// One to three nests with ragged outlines inside the tissue, cut so that exactly the wanted share of the
/// tissue is tumour. A small share is one nest: a micro-metastasis, not a scatter of single cells.
void Geometry::place_tumour(RandomStream& random) {
  std::fill(tumour_.values.begin(), tumour_.values.end(), -1.0F);
  if (options_.tumour_share <= 0.0F) return;
  const float radius = std::sqrt(options_.tumour_share * options_.tissue_um2 / kPi);
  const uint64_t most = options_.tumour_share > 0.18F ? 3 : options_.tumour_share > 0.1F ? 2 : 1;
  std::vector<Ellipse> nests(1 + random.below(most));
  for (Ellipse& nest : nests) {
    float x = 0.0F;
    float y = 0.0F;
    float deepest_yet = -100.0F;
    for (int tries = 0; tries < 64 && deepest_yet < 0.08F;
         ++tries) {  // well inside the tissue, or the best of 64
      const float try_x = random.uniform(0.0F, options_.width_um);
      const float try_y = random.uniform(0.0F, options_.height_um);
      const float depth = island_(try_x, try_y);
      if (depth <= deepest_yet) continue;
      deepest_yet = depth;
      x = try_x;
      y = try_y;
    }
    nest = {x, y, radius * random.uniform(0.8F, 1.25F), radius * random.uniform(0.8F, 1.25F),
            random.uniform(0.0F, kPi)};
  }
  const NoiseField broad(random, 45.0F);
  const NoiseField fine(random, 14.0F);
  std::vector<float> inside;
  for_nodes(tumour_, [&](int ix, int iy, float x, float y) {
    tumour_.at(ix, iy) = deepest(nests, x, y) + 0.18F * broad(x, y) + 0.09F * fine(x, y);
    if (island_.at(ix, iy) > 0.0F) inside.push_back(tumour_.at(ix, iy));
  });
  const float threshold = threshold_for_count(
      inside, static_cast<std::size_t>(options_.tumour_share * static_cast<float>(inside.size())));
  for_nodes(tumour_, [&](int ix, int iy, float, float) {
    tumour_.at(ix, iy) = std::min(tumour_.at(ix, iy) - threshold, 4.0F * island_.at(ix, iy));
  });
}

const Region& Geometry::region(float x_um, float y_um) const {
  const float x = x_um + 16.0F * warp_x_(x_um, y_um);
  const float y = y_um + 16.0F * warp_y_(x_um, y_um);
  const Region* nearest = regions_.data();
  float smallest = 1e30F;
  for (const Region& candidate : regions_) {
    const float dx = candidate.x_um - x;
    const float dy = candidate.y_um - y;
    const float distance = dx * dx + dy * dy;
    if (distance < smallest) {
      smallest = distance;
      nearest = &candidate;
    }
  }
  return *nearest;
}

TissueType Geometry::type(float x_um, float y_um) const {
  if (island_(x_um, y_um) <= 0.0F) return TissueType::glass;
  if (tumour_(x_um, y_um) > 0.0F) return TissueType::tumour;
  return region(x_um, y_um).type;
}

}  // namespace mt::wsi
