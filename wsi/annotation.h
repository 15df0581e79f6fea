#pragma once
// Outlines drawn on a slide: read, written, and asked how much of a square they cover.

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
  explicit Annotations(std::vector<Polygon> polygons);

  const std::vector<Polygon>& polygons() const { return polygons_; }
  bool has_tumour() const;
  bool contains(double x, double y) const;
  /// The share of the square [x, x + size) x [y, y + size) that is tumour: the mean over kSamples x kSamples
  /// points at the centres of equal cells. Its error is at most half the share of cells that an outline
  /// crosses, so about 1 / kSamples per outline across the square. Time: one pass over the points of the
  /// polygons that come near.
  double coverage(double x, double y, double size) const;
  static constexpr int kSamples = 32;

 private:
  struct Bounds {
    double x0, y0, x1, y1;
  };
  std::vector<Polygon> polygons_;
  std::vector<Bounds> bounds_;
};

/// Reads `.geojson` and `.json` as read_geojson does, everything else as read_asap.
Annotations read_annotations(const std::filesystem::path& path,
                             const std::vector<std::string>& tumour_groups = {});

/// Reads ASAP's XML (Polygon, Spline, Rectangle; dots and point sets have no area and are skipped). Groups,
/// case-blind: `Tumor`, `Tumour`, `_0`, `_1` are tumour; `_2`, `Exclusion`, `None`, `Normal` and no group are
/// excluded areas. Any other group is an Error unless `tumour_groups` names the groups to take as tumour;
/// then unknown ones are left out. Not ASAP's XML, under three points, a coordinate that is no number: an
/// Error that names the file and the annotation.
Annotations read_asap(const std::filesystem::path& path, const std::vector<std::string>& tumour_groups = {});

/// Reads QuPath's GeoJSON: a FeatureCollection, an array of Features or one Feature, in level-0 pixels.
/// Polygon and MultiPolygon count, with their holes; points and lines have no area and are skipped, and so
/// are detections, cells and tiles. Classifications as the groups of read_asap, a derived class ("Tumor:
/// Positive") by its first part; `Ignore*` is an excluded area too, and QuPath's other own classes (Stroma,
/// Immune cells, Necrosis, Other, Region*) are left out. No classification is an Error: QuPath has no
/// convention for it. Errors name the file and the feature's number, counted from 0.
Annotations read_geojson(const std::filesystem::path& path,
                         const std::vector<std::string>& tumour_groups = {});

/// ASAP's XML as text; a polygon without a group gets `Tumor` or `Exclusion`. Coordinates keep three
/// decimals. ASAP has no holes: the outline goes into each of them and back on the same line.
std::string to_asap(const Annotations& annotations);

/// A FeatureCollection of annotations that QuPath reads; classes and decimals as in to_asap().
std::string to_geojson(const Annotations& annotations);

}  // namespace mt::wsi
