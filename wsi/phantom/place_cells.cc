#include <algorithm>
#include <cmath>
#include <numbers>

#include "wsi/phantom/cells.h"

namespace mt::wsi {
namespace {

constexpr float kPi = std::numbers::pi_v<float>;

/// What the nuclei of a tissue have in common. Lengths in micrometres.
struct CellKind {
  float radius, radius_log_sd;
  float spacing;  // of the jittered grid
  float aspect_low, aspect_high;
  float density, density_sd;
  float vesicular, texture, ragged;
  int nucleoli_low, nucleoli_high;
  float overlap;  // centres may come as near as this share of the sum of the radii
};

// Radii, their spread and the spacing of lymphocytes are the recipe's; the rest was set by looking.
constexpr CellKind kStroma = {2.7F, 0.15F, 15.0F, 2.2F, 3.6F, 0.88F, 0.12F, 0.25F, 0.12F, 0.05F, 0, 0, 1.1F};
constexpr CellKind kFat = {2.4F, 0.15F, 16.0F, 1.5F, 3.0F, 0.95F, 0.1F, 0.0F, 0.1F, 0.05F, 0, 0, 1.0F};
constexpr CellKind kLymphocyte = {2.9F, 0.1F, 7.0F, 1.0F, 1.25F, 1.0F, 0.1F, 0.08F, 0.16F, 0.06F, 0, 0, 0.8F};
constexpr CellKind kGerminal = {3.7F, 0.17F, 8.6F, 1.0F, 1.4F, 0.74F, 0.1F, 0.5F, 0.18F, 0.07F, 1, 3, 0.85F};
constexpr CellKind kHistiocyte = {3.4F,  0.14F, 10.5F, 1.2F, 1.9F, 0.72F, 0.1F,
                                  0.45F, 0.14F, 0.08F, 0,    1,    1.0F};
constexpr CellKind kTumour = {7.2F, 0.38F, 11.0F, 1.0F, 1.45F, 0.8F, 0.16F, 0.42F, 0.2F, 0.08F, 1, 3, 0.68F};

const CellKind& kind_of(TissueType type) {
  switch (type) {
    case TissueType::stroma:
      return kStroma;
    case TissueType::fat:
      return kFat;
    case TissueType::germinal_centre:
      return kGerminal;
    case TissueType::histiocytes:
      return kHistiocyte;
    case TissueType::tumour:
      return kTumour;
    default:
      return kLymphocyte;
  }
}

/// Buckets of a uniform grid: who is near a place?
class Neighbours {
 public:
  Neighbours(float width_um, float height_um)
      : columns_(static_cast<int>(width_um / kCell) + 1), rows_(static_cast<int>(height_um / kCell) + 1) {
    buckets_.resize(static_cast<std::size_t>(columns_) * rows_);
  }

  /// Whether a nucleus of this radius would come nearer to another than `overlap` allows.
  bool crowded(float x, float y, float radius, float overlap) const {
    const int column = column_of(x);
    const int row = row_of(y);
    for (int j = std::max(0, row - 1); j <= std::min(rows_ - 1, row + 1); ++j) {
      for (int i = std::max(0, column - 1); i <= std::min(columns_ - 1, column + 1); ++i) {
        for (const Disc& disc : buckets_[static_cast<std::size_t>(j) * columns_ + i]) {
          const float dx = disc.x - x;
          const float dy = disc.y - y;
          const float least = overlap * (disc.radius + radius);
          if (dx * dx + dy * dy < least * least) return true;
        }
      }
    }
    return false;
  }
  void add(float x, float y, float radius) {
    buckets_[static_cast<std::size_t>(row_of(y)) * columns_ + column_of(x)].push_back({x, y, radius});
  }

 private:
  struct Disc {
    float x, y, radius;
  };
  static constexpr float kCell = 28.0F;  // at least the largest sum of two radii
  int column_of(float x) const { return std::clamp(static_cast<int>(x / kCell), 0, columns_ - 1); }
  int row_of(float y) const { return std::clamp(static_cast<int>(y / kCell), 0, rows_ - 1); }

  int columns_, rows_;
  std::vector<std::vector<Disc>> buckets_;
};

class Placer {
 public:
  Placer(const Geometry& geometry, float nuclear_scale, RandomStream& random)
      : geometry_(geometry),
        random_(random),
        nuclear_scale_(nuclear_scale),
        neighbours_(geometry.options().width_um, geometry.options().height_um),
        size_field_(random, 64.0F),
        lymphocyte_clumps_(random, 22.0F) {}

  Cells place() {
    place_holes(TissueType::tumour, 0.35F, 6.0F, 10.0F, 1.0F, 1.6F, 1.0F);
    place_holes(TissueType::histiocytes, 3.0F, 3.5F, 7.0F, 1.2F, 2.8F, 0.93F);
    place_holes(TissueType::germinal_centre, 1.0F, 4.5F, 6.5F, 1.0F, 1.3F, 0.45F);
    place_holes(TissueType::lymphocytes, 0.15F, 4.0F, 9.0F, 1.5F, 3.0F, 0.85F);
    place_kind(TissueType::tumour);
    place_kind(TissueType::germinal_centre);
    place_kind(TissueType::histiocytes);
    place_kind(TissueType::lymphocytes);
    place_kind(TissueType::stroma);
    place_kind(TissueType::fat);
    mix_in_lymphocytes();
    return std::move(cells_);
  }

 private:
  /// The tissue that a cell at this place belongs to: borders are blurred by a few micrometres, so that the
  /// cells of two tissues mingle.
  TissueType mingled_type(float x, float y) {
    return geometry_.type(x + 4.0F * random_.normal(), y + 4.0F * random_.normal());
  }

  void place_holes(TissueType type, float per_patch, float radius_low, float radius_high, float aspect_low,
                   float aspect_high, float clearing) {
    const float area = geometry_.options().width_um * geometry_.options().height_um;
    const int tries = static_cast<int>(per_patch * area / (64.0F * 64.0F));
    for (int i = 0; i < tries; ++i) {
      const float x = random_.uniform(0.0F, geometry_.options().width_um);
      const float y = random_.uniform(0.0F, geometry_.options().height_um);
      const float radius = random_.uniform(radius_low, radius_high);
      const float stretch = std::sqrt(random_.uniform(aspect_low, aspect_high));
      const float angle = random_.uniform(0.0F, kPi);
      if (geometry_.type(x, y) != type || neighbours_.crowded(x, y, radius, 0.9F)) continue;
      cells_.holes.push_back({x, y, radius * stretch, radius / stretch, angle, clearing});
      // Nuclei keep clear of the inside but may line the edge.
      neighbours_.add(x, y, std::min(radius, 12.0F));
    }
  }

  void place_kind(TissueType type) {
    const CellKind& kind = kind_of(type);
    const float row_spacing = kind.spacing * 0.866F;  // hexagonal
    const int rows = static_cast<int>(geometry_.options().height_um / row_spacing) + 1;
    const int columns = static_cast<int>(geometry_.options().width_um / kind.spacing) + 1;
    for (int row = 0; row < rows; ++row) {
      for (int column = 0; column < columns; ++column) {
        const float offset = row % 2 == 0 ? 0.0F : 0.5F;
        const float x = (static_cast<float>(column) + offset + random_.uniform(-0.34F, 0.34F)) * kind.spacing;
        const float y = (static_cast<float>(row) + random_.uniform(-0.34F, 0.34F)) * row_spacing;
        if (mingled_type(x, y) == type) add_nucleus(kind, type, x, y);
      }
    }
  }

  /// Lymphocytes wander through every tissue, in clumps, more in some regions than in others.
  void mix_in_lymphocytes() {
    const float spacing = 8.0F;
    const int rows = static_cast<int>(geometry_.options().height_um / spacing);
    const int columns = static_cast<int>(geometry_.options().width_um / spacing);
    for (int row = 0; row < rows; ++row) {
      for (int column = 0; column < columns; ++column) {
        const float x = (static_cast<float>(column) + random_.uniform()) * spacing;
        const float y = (static_cast<float>(row) + random_.uniform()) * spacing;
        const float chance = random_.uniform();
        const TissueType type = geometry_.type(x, y);
        if (type == TissueType::glass || type == TissueType::fat) continue;
        const float clump = smooth_step(0.1F, 0.9F, lymphocyte_clumps_(x, y));
        if (chance < geometry_.region(x, y).infiltration * 0.5F + 0.75F * clump) {
          add_nucleus(kLymphocyte, TissueType::lymphocytes, x, y);
        }
      }
    }
  }

  void add_nucleus(const CellKind& kind, TissueType type, float x, float y) {
    Nucleus nucleus{};
    nucleus.x_um = x;
    nucleus.y_um = y;
    // Tumour nuclei differ by about 10 % from nest to nest (and from patch to patch) on top of their own
    // spread.
    const float local = type == TissueType::tumour ? 1.0F + 0.2F * size_field_(x, y) : 1.0F;
    nucleus.radius_um = kind.radius * nuclear_scale_ * std::max(0.7F, local) *
                        std::exp(std::clamp(kind.radius_log_sd * random_.normal(), -0.8F, 0.3F));
    nucleus.aspect = random_.uniform(kind.aspect_low, kind.aspect_high);
    const bool along_fibre = type == TissueType::stroma || type == TissueType::fat;
    nucleus.angle = along_fibre ? geometry_.region(x, y).fibre_angle + 0.25F * random_.normal()
                                : random_.uniform(0.0F, kPi);
    const float spread = type == TissueType::tumour ? 0.22F : kind.density_sd;
    nucleus.density = std::max(0.3F, kind.density * (1.0F + spread * random_.normal()));
    nucleus.vesicular = std::clamp(kind.vesicular + 0.15F * random_.normal(), 0.0F, 0.9F);
    nucleus.texture = kind.texture;
    nucleus.ragged = kind.ragged;
    const int nucleoli_range = kind.nucleoli_high - kind.nucleoli_low;
    const uint64_t nucleoli_choices = static_cast<uint64_t>(nucleoli_range) + 1;
    nucleus.nucleoli = kind.nucleoli_low + static_cast<int>(random_.below(nucleoli_choices));
    nucleus.look = random_.next();
    if (neighbours_.crowded(x, y, nucleus.radius_um, kind.overlap)) return;
    neighbours_.add(x, y, nucleus.radius_um);
    cells_.nuclei.push_back(nucleus);
  }

  const Geometry& geometry_;
  RandomStream& random_;
  float nuclear_scale_;
  Neighbours neighbours_;
  NoiseField size_field_;
  NoiseField lymphocyte_clumps_;
  Cells cells_;
};

}  // namespace

Cells place_cells(const Geometry& geometry, float nuclear_scale, RandomStream& random) {
  return Placer(geometry, nuclear_scale, random).place();
}

}  // namespace mt::wsi
