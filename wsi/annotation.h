#pragma once
// Outlines drawn on a slide: read, written, and asked how much of a square they cover.

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace mt::wsi {

/// In level-0 pixels; (0, 0) is the upper left corner of the upper left pixel.
struct Point {
  double x = 0;
  double y = 0;
};

/// A closed outline; the last point joins the first. Inside is by the even-odd rule over all rings.
struct Polygon {
  std::string name;
  std::string group;  // ASAP's PartOfGroup, QuPath's classification
  std::vector<Point> points;
  bool excluded = false;  // a hole or other non-tumour area: taken away after all tumour is added
  std::vector<std::vector<Point>> holes = {};
};

/// The annotations of a slide. A point is tumour when it is in some tumour polygon and in no excluded one.
class Annotations {
 public:
  Annotations() = default;
  explicit Annotations(std::vector<Polygon> polygons, std::vector<std::string> notes = {});

  const std::vector<Polygon>& polygons() const { return polygons_; }
  /// Objects of the file that count for nothing, and why, a line each: "annotation \"a\" is in no group".
  const std::vector<std::string>& notes() const { return notes_; }
  bool has_tumour() const { return tumour_count() > 0; }
  /// Outlines of tumour.
  int64_t tumour_count() const;
  /// Of these, how many have no point in common with [0, width] x [0, height], by their bounding boxes.
  int64_t tumour_count_outside(int64_t width, int64_t height) const;
  bool contains(double x, double y) const;
  /// The share of the square [x, x + size) x [y, y + size) that is tumour: the mean over kSamples x kSamples
  /// points at the centres of equal cells. Its error is at most half the share of cells that an outline
  /// crosses, so about 1 / kSamples per outline across the square. Time: one pass over the points of the
  /// polygons that come near.
  double coverage(double x, double y, double size) const;
  /// The same before excluded areas are taken away.
  double coverage_without_exclusion(double x, double y, double size) const;
  static constexpr int kSamples = 32;

 private:
  struct Bounds {
    double x0, y0, x1, y1;
    bool meets(double left, double top, double right, double bottom) const {
      return x0 <= right && y0 <= bottom && x1 >= left && y1 >= top;
    }
  };
  double share(double x, double y, double size, bool with_exclusion) const;

  std::vector<Polygon> polygons_;
  std::vector<std::string> notes_;
  std::vector<Bounds> bounds_;
};

/// Reads a file as read_geojson or read_asap does: what it begins with decides, not what it is called.
Annotations read_annotations(const std::filesystem::path& path,
                             const std::vector<std::string>& tumour_groups = {});

/// Reads ASAP's XML (Polygon, Spline, Rectangle; dots, point sets and measurements have no area and are
/// skipped). Groups, case-blind: `Tumor`, `Tumour`, `_0`, `_1` are tumour; `_2`, `Exclusion` and `Normal` are
/// excluded areas; a group inside of a known group is as that is. An outline in no group (ASAP writes `None`)
/// says nothing and is noted, unless `tumour_groups` has `None`. Any other group is an Error unless
/// `tumour_groups` names the groups to take as tumour; then unknown ones are left out. An annotation with
/// under three points or a coordinate that is no number is noted; not ASAP's XML is an Error.
Annotations read_asap(const std::filesystem::path& path, const std::vector<std::string>& tumour_groups = {});

/// Reads QuPath's GeoJSON: a FeatureCollection, an array of Features or one Feature, in level-0 pixels.
/// Polygon and MultiPolygon count, with their holes; points and lines have no area and are skipped, and so
/// are detections, cells and tiles. Classifications as the groups of read_asap, a derived class ("Tumor:
/// Positive") by its first part; `Ignore*` is an excluded area too, and QuPath's other own classes (Stroma,
/// Immune cells, Necrosis, Other, Region*) are left out. No classification is noted, as no group is. So is a
/// feature whose geometry cannot be read, by its number, counted from 0; a class that is not known is an
/// Error.
Annotations read_geojson(const std::filesystem::path& path,
                         const std::vector<std::string>& tumour_groups = {});

/// ASAP's XML as text; a polygon without a group gets `Tumor` or `Exclusion`. Coordinates keep three
/// decimals. ASAP has no holes: the outline goes into each of them and back on the same line.
std::string to_asap(const Annotations& annotations);

/// A FeatureCollection of annotations that QuPath reads; classes and decimals as in to_asap().
std::string to_geojson(const Annotations& annotations);

}  // namespace mt::wsi
