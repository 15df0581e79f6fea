#include "wsi/regions.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <map>
#include <utility>

#include "tensor/check.h"

namespace mt::wsi {
namespace {

using Cell = std::pair<int64_t, int64_t>;  // row and column
using Corner = std::pair<int64_t, int64_t>;

/// Steps to the neighbour on the right, below, on the left, above: each a quarter turn to the right.
constexpr std::array<Cell, 4> kSteps = {{{0, 1}, {1, 0}, {0, -1}, {-1, 0}}};

Cell moved(const Cell& cell, std::size_t direction) {
  return {cell.first + kSteps[direction].first, cell.second + kSteps[direction].second};
}

struct Region {
  std::vector<Cell> cells;
  float highest = 0;
};

/// The cells that stand together, in the order of their first cell.
std::vector<Region> connected(const std::map<Cell, float>& scores) {
  std::vector<Region> regions;
  std::map<Cell, bool> seen;
  for (const auto& [start, score] : scores) {
    if (seen[start]) continue;
    Region region;
    region.highest = score;
    region.cells.push_back(start);
    seen[start] = true;
    for (std::size_t i = 0; i < region.cells.size(); ++i) {
      for (std::size_t direction = 0; direction < 4; ++direction) {
        const Cell next = moved(region.cells[i], direction);
        const auto found = scores.find(next);
        if (found == scores.end() || seen[next]) continue;
        seen[next] = true;
        region.cells.push_back(next);
        region.highest = std::max(region.highest, found->second);
      }
    }
    regions.push_back(std::move(region));
  }
  return regions;
}

/// The outlines of a region as corners of the grid, those between two collinear ones left out. Every side
/// between a cell and a stranger is walked with the cell on the right hand (y points down), so that the outer
/// outline turns right and holes turn left. Where two cells touch in a corner only, the walk turns right and
/// stays with its cell.
std::vector<std::vector<Corner>> outlines(const Region& region) {
  std::map<Cell, bool> inside;
  for (const Cell& cell : region.cells) inside[cell] = true;
  // Sides by the corner where they start and their direction. The upper side of a cell goes right.
  std::map<std::pair<Corner, std::size_t>, bool> sides;
  for (const Cell& cell : region.cells) {
    const auto [row, column] = cell;
    const std::array<Corner, 4> starts = {
        {{row, column}, {row, column + 1}, {row + 1, column + 1}, {row + 1, column}}};
    for (std::size_t direction = 0; direction < 4; ++direction) {
      if (!inside.contains(moved(cell, (direction + 3) % 4))) sides[{starts[direction], direction}] = true;
    }
  }
  std::vector<std::vector<Corner>> result;
  while (!sides.empty()) {
    std::vector<Corner> outline;
    auto [corner, direction] = sides.begin()->first;
    const std::pair<Corner, std::size_t> first{corner, direction};
    do {
      sides.erase({corner, direction});
      const Corner next = moved(corner, direction);
      std::size_t turned = (direction + 1) % 4;  // right, straight on, left
      while (!sides.contains({next, turned}) && std::pair{next, turned} != first) turned = (turned + 3) % 4;
      if (turned != direction) outline.push_back(next);
      corner = next;
      direction = turned;
    } while (std::pair{corner, direction} != first);
    result.push_back(std::move(outline));
  }
  return result;
}

bool is_hole(const std::vector<Corner>& outline) {
  int64_t twice_area = 0;
  for (std::size_t i = 0; i < outline.size(); ++i) {
    const Corner& a = outline[i];
    const Corner& b = outline[(i + 1) % outline.size()];
    twice_area += a.second * b.first - b.second * a.first;
  }
  return twice_area < 0;
}

}  // namespace

std::vector<Polygon> trace_regions(std::span<const PatchScore> patches, double patch_level0,
                                   double step_level0, float at_least) {
  check(step_level0 > 0 && patch_level0 >= step_level0, "regions: patches of {} px every {} px", patch_level0,
        step_level0);
  std::map<Cell, float> scores;
  for (const PatchScore& patch : patches) {
    if (!(patch.score >= at_least)) continue;
    scores[{std::llround(static_cast<double>(patch.y_level0) / step_level0),
            std::llround(static_cast<double>(patch.x_level0) / step_level0)}] = patch.score;
  }
  std::vector<Region> regions = connected(scores);
  std::stable_sort(regions.begin(), regions.end(),
                   [](const Region& a, const Region& b) { return a.highest > b.highest; });
  const auto level0 = [&](int64_t index) {
    return std::round(static_cast<double>(index) * step_level0) + (patch_level0 - step_level0) / 2;
  };
  std::vector<Polygon> polygons;
  for (const Region& region : regions) {
    Polygon polygon;
    polygon.name = fmt::format("{} patch{}, highest score {:.3f}", region.cells.size(),
                               region.cells.size() == 1 ? "" : "es", region.highest);
    for (const std::vector<Corner>& outline : outlines(region)) {
      std::vector<Point> points;
      for (const Corner& corner : outline) points.push_back({level0(corner.second), level0(corner.first)});
      if (is_hole(outline)) {
        polygon.holes.push_back(std::move(points));
      } else {
        polygon.points = std::move(points);
      }
    }
    polygons.push_back(std::move(polygon));
  }
  return polygons;
}

namespace {

void move(std::vector<Point>& points, double x, double y) {
  for (Point& point : points) point = {point.x + x, point.y + y};
}

}  // namespace

std::vector<Polygon> trace_regions_anywhere(std::span<const PatchScore> patches, double patch_level0,
                                            double step_level0, float at_least) {
  if (patches.empty()) return {};
  const double x0 = std::fmod(static_cast<double>(patches[0].x_level0), step_level0);
  const double y0 = std::fmod(static_cast<double>(patches[0].y_level0), step_level0);
  const auto is_on_grid = [&](int64_t at, double begin) {
    return std::abs(std::remainder(static_cast<double>(at) - begin, step_level0)) <= 1;
  };
  std::vector<PatchScore> places(patches.begin(), patches.end());
  std::vector<Polygon> regions;
  if (std::all_of(places.begin(), places.end(), [&](const PatchScore& place) {
        return is_on_grid(place.x_level0, x0) && is_on_grid(place.y_level0, y0);
      })) {
    for (PatchScore& place : places) {
      place.x_level0 -= std::llround(x0);
      place.y_level0 -= std::llround(y0);
    }
    regions = trace_regions(places, patch_level0, step_level0, at_least);
    for (Polygon& region : regions) {
      move(region.points, std::round(x0), std::round(y0));
      for (auto& hole : region.holes) move(hole, std::round(x0), std::round(y0));
    }
    return regions;
  }
  std::erase_if(places, [&](const PatchScore& place) { return !(place.score >= at_least); });
  std::stable_sort(places.begin(), places.end(),
                   [](const auto& a, const auto& b) { return a.score > b.score; });
  for (const PatchScore& place : places) {
    const auto x = static_cast<double>(place.x_level0);
    const auto y = static_cast<double>(place.y_level0);
    Polygon region;
    region.name = fmt::format("1 patch, highest score {:.3f}", place.score);
    region.points = {
        {x, y}, {x + patch_level0, y}, {x + patch_level0, y + patch_level0}, {x, y + patch_level0}};
    regions.push_back(std::move(region));
  }
  return regions;
}

}  // namespace mt::wsi
