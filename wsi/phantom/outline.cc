#include "wsi/phantom/outline.h"

#include <array>
#include <cstdint>
#include <unordered_map>
#include <utility>

namespace mt::wsi {
namespace {

/// Marching squares as directed segments: each crossing of a lattice edge leads to the next one, with the
/// inside on the right hand (y points down), so that outlines of islands and of holes turn in opposite ways.
class Tracer {
 public:
  explicit Tracer(const NodeGrid& field) : field_(field) {}

  std::vector<std::vector<Point>> trace() {
    for (int y = -1; y < field_.nodes_y; ++y) {
      for (int x = -1; x < field_.nodes_x; ++x) visit(x, y);
    }
    std::vector<std::vector<Point>> outlines;
    for (const uint64_t start : order_) {
      std::vector<Point> outline;
      uint64_t edge = start;
      while (true) {
        const auto next = next_.find(edge);
        if (next == next_.end()) break;
        outline.push_back(crossing(edge));
        edge = next->second;
        next_.erase(next);
      }
      if (outline.size() >= 3) outlines.push_back(std::move(outline));
    }
    return outlines;
  }

 private:
  float value(int x, int y) const {
    const bool outside = x < 0 || y < 0 || x >= field_.nodes_x || y >= field_.nodes_y;
    return outside ? -1.0F : field_.at(x, y);
  }
  /// The lattice edge that starts at node (x, y) and goes right (0) or down (1).
  static uint64_t edge_id(int x, int y, int down) {
    return static_cast<uint64_t>(y + 1) << 33 | static_cast<uint64_t>(x + 1) << 1 |
           static_cast<uint64_t>(down);
  }
  Point crossing(uint64_t edge) const {
    const int down = static_cast<int>(edge & 1);
    const int x = static_cast<int>(edge >> 1 & 0xFFFFFFFF) - 1;
    const int y = static_cast<int>(edge >> 33) - 1;
    const double a = value(x, y);
    const double b = down != 0 ? value(x, y + 1) : value(x + 1, y);
    const double t = a / (a - b);
    return {x + (down != 0 ? 0.0 : t), y + (down != 0 ? t : 0.0)};
  }
  /// Walks the square's corners clockwise: each run of inside corners is cut off by one segment, from the
  /// lattice edge where the run ends to the one where it began. In the next square that edge is where a run
  /// ends.
  void visit(int x, int y) {
    const std::array<bool, 4> inside = {value(x, y) > 0, value(x + 1, y) > 0, value(x + 1, y + 1) > 0,
                                        value(x, y + 1) > 0};
    const std::array<uint64_t, 4> edges = {edge_id(x, y, 0), edge_id(x + 1, y, 1), edge_id(x, y + 1, 0),
                                           edge_id(x, y, 1)};
    for (std::size_t last = 0; last < 4; ++last) {
      if (!inside[last] || inside[(last + 1) % 4]) continue;
      std::size_t first = last;
      while (inside[(first + 3) % 4]) first = (first + 3) % 4;
      next_[edges[last]] = edges[(first + 3) % 4];
      order_.push_back(edges[last]);
    }
  }

  const NodeGrid& field_;
  std::unordered_map<uint64_t, uint64_t> next_;
  std::vector<uint64_t> order_;
};

double signed_area(const std::vector<Point>& points) {
  double twice = 0;
  for (std::size_t i = 0; i < points.size(); ++i) {
    const Point& a = points[i];
    const Point& b = points[(i + 1) % points.size()];
    twice += a.x * b.y - b.x * a.y;
  }
  return twice / 2;
}

}  // namespace

std::vector<Polygon> trace_outlines(const NodeGrid& field, float mpp) {
  const double level0_per_node = field.spacing_um / mpp;
  std::vector<Polygon> polygons;
  for (std::vector<Point>& outline : Tracer(field).trace()) {
    Polygon polygon;
    polygon.excluded = signed_area(outline) < 0;
    polygon.points = std::move(outline);
    for (Point& point : polygon.points) point = {point.x * level0_per_node, point.y * level0_per_node};
    polygons.push_back(std::move(polygon));
  }
  return polygons;
}

}  // namespace mt::wsi
