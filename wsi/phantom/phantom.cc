#include "wsi/phantom/phantom.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "wsi/phantom/artefacts.h"
#include "wsi/phantom/background.h"
#include "wsi/phantom/canvas.h"
#include "wsi/phantom/cells.h"
#include "wsi/phantom/outline.h"

namespace mt::wsi {
namespace {

/// What each part of a slide draws from, so that a change in one does not shift the others.
enum class Part : uint32_t { plan, cells, background, stain, artefacts, sensor };

RandomStream stream(std::string_view name, const PhantomOptions& options, Part part) {
  return RandomStream(options.seed, Purpose::phantom, static_cast<uint32_t>(part), hash64(name));
}

GeometryOptions plan(bool tumour, const PhantomOptions& options, RandomStream& random) {
  GeometryOptions plan;
  // 40-80 patches of 64 um once the fat and the ragged border are taken off.
  plan.tissue_um2 = random.uniform(48.0F, 84.0F) * kTruthCellUm * kTruthCellUm;
  const float area = plan.tissue_um2 / random.uniform(0.58F, 0.72F);
  const float aspect = random.uniform(0.8F, 1.25F);
  plan.width_um = std::round(std::sqrt(area * aspect) / 8.0F) * 8.0F;
  plan.height_um = std::round(std::sqrt(area / aspect) / 8.0F) * 8.0F;
  if (tumour) {
    const bool hard = options.difficulty == PhantomDifficulty::hard;
    const float low = hard ? 0.01F : 0.05F;
    const float high = hard ? 0.10F : 0.30F;
    plan.tumour_share = low * std::pow(high / low, random.uniform());
  }
  return plan;
}

/// Counts the types at the nodes (4 um apart) of each cell.
std::vector<TissueCell> count_cells(const Geometry& geometry, float mpp) {
  constexpr int kSteps = 16;
  std::vector<TissueCell> cells;
  const int64_t size = std::lround(kTruthCellUm / mpp);
  const int columns = static_cast<int>(geometry.options().width_um / kTruthCellUm);
  const int rows = static_cast<int>(geometry.options().height_um / kTruthCellUm);
  for (int row = 0; row < rows; ++row) {
    for (int column = 0; column < columns; ++column) {
      std::array<int, kTissueTypes> counts{};
      for (int step = 0; step < kSteps * kSteps; ++step) {
        const int step_x = step % kSteps;
        const int step_y = step / kSteps;
        const float x =
            (static_cast<float>(column) + (static_cast<float>(step_x) + 0.5F) / kSteps) * kTruthCellUm;
        const float y =
            (static_cast<float>(row) + (static_cast<float>(step_y) + 0.5F) / kSteps) * kTruthCellUm;
        ++counts[static_cast<std::size_t>(geometry.type(x, y))];
      }
      const auto most = std::max_element(counts.begin(), counts.end()) - counts.begin();
      const float total = kSteps * kSteps;
      cells.push_back({column * size, row * size, size, static_cast<TissueType>(most),
                       1.0F - static_cast<float>(counts[0]) / total,
                       static_cast<float>(counts[static_cast<std::size_t>(TissueType::tumour)]) / total});
    }
  }
  return cells;
}

double area_above_zero(const NodeGrid& field) {
  const auto inside = std::count_if(field.values.begin(), field.values.end(), [](float v) { return v > 0; });
  return static_cast<double>(inside) * field.spacing_um * field.spacing_um;
}

}  // namespace

PhantomSlide render_phantom(std::string_view name, bool tumour, const PhantomOptions& options) {
  RandomStream plan_random = stream(name, options, Part::plan);
  RandomStream cell_random = stream(name, options, Part::cells);
  RandomStream background_random = stream(name, options, Part::background);
  RandomStream stain_random = stream(name, options, Part::stain);
  RandomStream artefact_random = stream(name, options, Part::artefacts);
  RandomStream sensor_random = stream(name, options, Part::sensor);

  const float mpp = options.mpp;
  const Geometry geometry(plan(tumour, options, plan_random), plan_random);
  const Stain stain = Stain::draw(stain_random);
  Canvas canvas(std::lround(geometry.options().width_um / mpp),
                std::lround(geometry.options().height_um / mpp));
  draw_background(canvas, geometry, mpp, background_random);
  const Cells cells = place_cells(geometry, stain.nuclear_scale, cell_random);
  draw_holes(canvas, cells.holes, mpp);
  draw_nuclei(canvas, cells.nuclei, mpp);
  gaussian_blur(canvas.haematoxylin, canvas.width, 0, 0, canvas.width, canvas.height, stain.blur_um / mpp);
  gaussian_blur(canvas.eosin, canvas.width, 0, 0, canvas.width, canvas.height, stain.blur_um / mpp);

  PhantomSlide slide;
  slide.name = name;
  slide.mpp = mpp;
  slide.out_of_focus = defocus(canvas, mpp, artefact_random);
  slide.image = develop(canvas, stain, sensor_random);
  scatter_dust(slide.image, mpp, artefact_random);
  slide.pen = artefact_random.chance(0.15F);
  if (slide.pen) draw_pen(slide.image, geometry, mpp, artefact_random);
  slide.tissue_um2 = area_above_zero(geometry.island());
  slide.tumour_um2 = tumour ? area_above_zero(geometry.tumour()) : 0.0;
  if (tumour) slide.tumour = Annotations(trace_outlines(geometry.tumour(), mpp));
  slide.tissue = geometry.island();
  slide.cells = count_cells(geometry, mpp);
  return slide;
}

}  // namespace mt::wsi
