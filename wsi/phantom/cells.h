#pragma once
// Nuclei: what they look like, where they lie, how they are drawn.

#include <vector>

#include "tensor/rng.h"
#include "wsi/phantom/canvas.h"
#include "wsi/phantom/geometry.h"

namespace mt::wsi {

struct Nucleus {
  float x_um, y_um;
  float radius_um;  // of the circle of the same area
  float aspect;     // long axis over short
  float angle;
  float density;    // mean haematoxylin
  float vesicular;  // 0 evenly dark .. 1 pale with a dark rim
  float texture;    // amplitude of the chromatin's clumps
  float ragged;     // of the outline
  int nucleoli;
  uint32_t look;  // random bits for outline, chromatin and nucleoli
};

/// A place without tissue: a lumen, a sinus, a pale macrophage.
struct Hole {
  float x_um, y_um, radius_x_um, radius_y_um, angle;
  float clearing;  // 1 = glass shows
};

struct Cells {
  std::vector<Hole> holes;
  std::vector<Nucleus> nuclei;
};

/// Fills the geometry with the cells of each tissue, lymphocytes mixed in everywhere.
Cells place_cells(const Geometry& geometry, float nuclear_scale, RandomStream& random);

void draw_holes(Canvas& canvas, const std::vector<Hole>& holes, float mpp);
void draw_nuclei(Canvas& canvas, const std::vector<Nucleus>& nuclei, float mpp);

}  // namespace mt::wsi
