#include "wsi/annotation.h"

#include <algorithm>
#include <array>
#include <bitset>
#include <cmath>
#include <limits>
#include <string_view>

#include "tensor/check.h"
#include "tensor/io/input_file.h"

namespace mt::wsi {
namespace {

struct Edge {
  Point a, b;

  /// Whether the edge passes the horizontal line through y; the lower end belongs to the edge, the upper one
  /// does not, so that a corner counts once.
  bool passes(double y) const { return (a.y <= y) != (b.y <= y); }
  double x_at(double y) const { return a.x + (y - a.y) / (b.y - a.y) * (b.x - a.x); }
};

template <typename Body>
void for_edges(const Polygon& polygon, const Body& body) {
  const auto ring = [&](const std::vector<Point>& points) {
    for (std::size_t i = 0; i < points.size(); ++i) body(Edge{points[i], points[(i + 1) % points.size()]});
  };
  ring(polygon.points);
  for (const std::vector<Point>& hole : polygon.holes) ring(hole);
}

bool inside(const Polygon& polygon, double x, double y) {
  bool odd = false;
  for_edges(polygon, [&](const Edge& edge) { odd ^= edge.passes(y) && edge.x_at(y) <= x; });
  return odd;
}

using SampleMask = std::bitset<Annotations::kSamples * Annotations::kSamples>;

/// The sample points of a square that lie in the polygon: row by row, every edge to the left of a point flips
/// it.
SampleMask samples_inside(const Polygon& polygon, double x, double y, double size) {
  constexpr int kSamples = Annotations::kSamples;
  const double step = size / kSamples;
  std::vector<Edge> near;
  for_edges(polygon, [&](const Edge& edge) {
    const bool apart = std::max(edge.a.y, edge.b.y) < y || std::min(edge.a.y, edge.b.y) > y + size ||
                       std::min(edge.a.x, edge.b.x) > x + size;
    if (!apart) near.push_back(edge);
  });
  SampleMask mask;
  for (int row = 0; row < kSamples; ++row) {
    const double sample_y = y + (row + 0.5) * step;
    std::array<bool, kSamples> flips{};
    for (const Edge& edge : near) {
      if (!edge.passes(sample_y)) continue;
      // The first sample at or to the right of the edge.
      const double first = std::ceil((edge.x_at(sample_y) - x) / step - 0.5);
      if (first < kSamples) flips[static_cast<std::size_t>(std::max(0.0, first))] ^= true;
    }
    bool odd = false;
    for (std::size_t column = 0; column < flips.size(); ++column) {
      odd ^= flips[column];
      mask[static_cast<std::size_t>(row) * flips.size() + column] = odd;
    }
  }
  return mask;
}

}  // namespace

Annotations read_annotations(const std::filesystem::path& path,
                             const std::vector<std::string>& tumour_groups) {
  constexpr std::string_view kBom = "\xEF\xBB\xBF";
  const InputFile file(path.string());
  check(file.size() > 0, "{}: is empty", path.string());
  const std::string begin = file.read_at(0, std::min<uint64_t>(file.size(), 4096), "the file");
  const std::string_view text = std::string_view(begin).substr(begin.starts_with(kBom) ? kBom.size() : 0);
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  const char letter = first == std::string_view::npos ? ' ' : text[first];
  if (letter == '{' || letter == '[') return read_geojson(path, tumour_groups);
  const bool is_utf16 = begin.starts_with("\xFF\xFE") || begin.starts_with("\xFE\xFF");
  check(letter == '<' || is_utf16, "{}: is neither ASAP's XML nor QuPath's GeoJSON", path.string());
  return read_asap(path, tumour_groups);
}

Annotations::Annotations(std::vector<Polygon> polygons, std::vector<std::string> notes)
    : polygons_(std::move(polygons)), notes_(std::move(notes)) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  for (const Polygon& polygon : polygons_) {
    Bounds bounds{kInfinity, kInfinity, -kInfinity, -kInfinity};
    for (const Point& point : polygon.points) {
      bounds = {std::min(bounds.x0, point.x), std::min(bounds.y0, point.y), std::max(bounds.x1, point.x),
                std::max(bounds.y1, point.y)};
    }
    bounds_.push_back(bounds);
  }
}

int64_t Annotations::tumour_count() const {
  return std::count_if(polygons_.begin(), polygons_.end(),
                       [](const Polygon& polygon) { return !polygon.excluded; });
}

int64_t Annotations::tumour_count_outside(int64_t width, int64_t height) const {
  int64_t outside = 0;
  for (std::size_t i = 0; i < polygons_.size(); ++i) {
    const bool is_inside = bounds_[i].meets(0, 0, static_cast<double>(width), static_cast<double>(height));
    outside += !polygons_[i].excluded && !is_inside ? 1 : 0;
  }
  return outside;
}

bool Annotations::contains(double x, double y) const {
  bool tumour = false;
  for (const Polygon& polygon : polygons_) {
    if ((polygon.excluded || !tumour) && inside(polygon, x, y)) {
      if (polygon.excluded) return false;
      tumour = true;
    }
  }
  return tumour;
}

double Annotations::coverage(double x, double y, double size) const {
  return share(x, y, size, true);
}

double Annotations::coverage_without_exclusion(double x, double y, double size) const {
  return share(x, y, size, false);
}

double Annotations::share(double x, double y, double size, bool with_exclusion) const {
  SampleMask tumour;
  SampleMask excluded;
  for (std::size_t i = 0; i < polygons_.size(); ++i) {
    if (!bounds_[i].meets(x, y, x + size, y + size)) continue;
    if (polygons_[i].excluded && !with_exclusion) continue;
    (polygons_[i].excluded ? excluded : tumour) |= samples_inside(polygons_[i], x, y, size);
  }
  return static_cast<double>((tumour & ~excluded).count()) / static_cast<double>(tumour.size());
}

}  // namespace mt::wsi
