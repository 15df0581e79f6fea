// QuPath's GeoJSON (RFC 7946 with pixels in place of degrees): Features with a classification.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "tensor/check.h"
#include "tensor/io/input_file.h"
#include "tensor/io/json_within.h"
#include "tensor/text.h"
#include "wsi/annotation.h"
#include "wsi/annotation_group.h"
#include "wsi/json_pieces.h"

namespace mt::wsi {
namespace {

using Json = nlohmann::json;             // reading: names are found in logarithmic time
using Written = nlohmann::ordered_json;  // members in the order of the RFC

/// What was read so far.
struct Drawing {
  std::vector<Polygon> polygons;
  std::vector<std::string> notes;
  std::string problem;  // the first class that is not known
};

/// A member, or null where the object has none (or is no object).
const Json& member(const Json& object, const char* name) {
  static const Json kNull;
  if (!object.is_object()) return kNull;
  const auto found = object.find(name);
  return found == object.end() ? kNull : *found;
}

std::string text_of(const Json& value) {
  return value.is_string() ? value.get<std::string>() : "";
}

/// One ring without its closing point, which repeats the first.
std::vector<Point> read_ring(const Json& ring, const std::string& where) {
  check(ring.is_array(), "{}: a ring is no list of points", where);
  std::vector<Point> points;
  for (const Json& position : ring) {
    const bool is_pair =
        position.is_array() && position.size() >= 2 && position[0].is_number() && position[1].is_number();
    check(is_pair, "{}: a point is not [x, y]", where);
    const Point point{position[0].get<double>(), position[1].get<double>()};
    check(std::abs(point.x) < 1e9 && std::abs(point.y) < 1e9, "{}: [{}, {}] is not a level-0 coordinate",
          where, point.x, point.y);
    points.push_back(point);
  }
  if (points.size() > 1 && points.front().x == points.back().x && points.front().y == points.back().y)
    points.pop_back();
  check(points.size() >= 3, "{} has a ring of {} points; an outline needs three", where, points.size());
  return points;
}

/// Outline and holes from GeoJSON's list of rings.
Polygon read_rings(const Json& rings, const std::string& where) {
  check(rings.is_array() && !rings.empty(), "{}: a polygon has no rings", where);
  Polygon polygon;
  polygon.points = read_ring(rings[0], where);
  for (std::size_t i = 1; i < rings.size(); ++i) polygon.holes.push_back(read_ring(rings[i], where));
  return polygon;
}

std::vector<Polygon> read_geometry(const Json& geometry, const std::string& where) {
  check(!geometry.is_null(), "{} has no geometry", where);
  const std::string type = text_of(member(geometry, "type"));
  const Json& coordinates = member(geometry, "coordinates");
  std::vector<Polygon> polygons;
  if (type == "Polygon") polygons.push_back(read_rings(coordinates, where));
  if (type == "MultiPolygon") {
    check(coordinates.is_array(), "{}: MultiPolygon without coordinates", where);
    for (const Json& rings : coordinates) polygons.push_back(read_rings(rings, where));
  }
  if (type == "GeometryCollection") {
    for (const Json& part : member(geometry, "geometries")) {
      check(text_of(member(part, "type")) != "GeometryCollection", "{}: a collection in a collection", where);
      for (Polygon& polygon : read_geometry(part, where)) polygons.push_back(std::move(polygon));
    }
  }
  const bool has_no_area =
      type == "Point" || type == "MultiPoint" || type == "LineString" || type == "MultiLineString";
  check(!polygons.empty() || type == "MultiPolygon" || type == "GeometryCollection" || has_no_area,
        "{}: geometry \"{}\" is neither Polygon nor MultiPolygon", where, printable(type, 40));
  return polygons;
}

/// "Tumor: Positive" is a Tumor. QuPath before 0.3 has a name only, today's has a list of names as well.
std::string classification_of(const Json& properties) {
  const Json& classification = member(properties, "classification");
  std::string name = text_of(classification.is_string() ? classification : member(classification, "name"));
  const Json& names = member(classification, "names");
  if (name.empty() && names.is_array() && !names.empty()) name = text_of(names[0]);
  name = name.substr(0, name.find(':'));
  while (name.ends_with(' ')) name.pop_back();
  return name;
}

AnnotationRole role_in_qupath(const std::string& group, const std::vector<std::string>& tumour_groups) {
  constexpr std::array kLeftOut = {"stroma", "immune cells", "necrosis", "other", "region*"};
  const AnnotationRole role = role_of(group, tumour_groups);
  if (role != AnnotationRole::unknown) return role;
  const std::string name = lower_case(group);
  if (name == "ignore*") return AnnotationRole::excluded;
  return std::find(kLeftOut.begin(), kLeftOut.end(), name) == kLeftOut.end() ? role
                                                                             : AnnotationRole::left_out;
}

/// Cells and tiles that a program made, not outlines that a person drew. QuPath before 0.3 says so in the id.
bool is_detection(const Json& feature) {
  const std::string type = text_of(member(member(feature, "properties"), "objectType"));
  const std::string id = text_of(member(feature, "id"));
  return type == "detection" || type == "cell" || type == "tile" || id == "PathDetectionObject" ||
         id == "PathCellObject" || id == "PathTileObject";
}

/// Adds what the feature outlines to the drawing. Throws Error for a feature that cannot be read.
void read_feature(const Json& feature, const std::string& where, const std::string& source,
                  const std::vector<std::string>& tumour_groups, Drawing& drawing) {
  check(text_of(member(feature, "type")) == "Feature", "{} is no Feature", where);
  if (is_detection(feature)) return;
  std::vector<Polygon> parts = read_geometry(member(feature, "geometry"), where);
  if (parts.empty()) return;
  const Json& properties = member(feature, "properties");
  const std::string group = classification_of(properties);
  const AnnotationRole role = role_in_qupath(group, tumour_groups);
  check(role != AnnotationRole::ungrouped, "{} has no classification", where);
  if (role == AnnotationRole::unknown && drawing.problem.empty()) {
    drawing.problem = fmt::format(
        "{}: {} is of class \"{}\"; known are Tumor, and Ignore*, Exclusion, Normal (not); name the classes "
        "that are tumour (--tumour-groups)",
        source, where, printable(group, 40));
  }
  if (role == AnnotationRole::left_out || role == AnnotationRole::unknown) return;
  for (Polygon& part : parts) {
    part.name = text_of(member(properties, "name"));
    part.group = group;
    part.excluded = role == AnnotationRole::excluded;
    drawing.polygons.push_back(std::move(part));
  }
}

Written ring_of(const std::vector<Point>& points) {
  Written ring = Written::array();
  const auto rounded = [](double value) { return std::round(value * 1000) / 1000; };
  for (const Point& point : points) ring.push_back({rounded(point.x), rounded(point.y)});
  if (!points.empty()) ring.push_back(ring[0]);
  return ring;
}

}  // namespace

namespace {

/// A point takes about 170 bytes as JSON, and 20 or more as text.
JsonLimits limits_of(std::string_view text) {
  JsonLimits limits;
  limits.bytes = std::min(10 * text.size() + (uint64_t{16} << 20),
                          std::max<uint64_t>(uint64_t{320} << 20, 3 * text.size()));
  return limits;
}

}  // namespace

Annotations read_geojson(const std::filesystem::path& path, const std::vector<std::string>& tumour_groups) {
  constexpr std::size_t kMostOddFeatures = 100'000;
  constexpr const char* kNoQuPath =
      "{}: is neither a FeatureCollection, nor a Feature, nor a list of them; annotations must be QuPath's "
      "GeoJSON";
  Drawing drawing;
  const auto read = [&](const Json& feature, const std::string& where) {
    try {
      read_feature(feature, where, path.string(), tumour_groups, drawing);
    } catch (const Error& error) {
      drawing.notes.emplace_back(error.what());
    }
  };
  const std::string text = read_file(path.string());
  std::size_t count = 0;
  const JsonShell shell = cut_json(text, "features", [&](std::string_view element) {
    const std::string where = fmt::format("feature {}", count++);
    read(parse_json_within(element, limits_of(element), fmt::format("{}: {}", path.string(), where)), where);
    check(drawing.notes.size() <= kMostOddFeatures, kNoQuPath, path.string());
  });
  const Json document = parse_json_within(shell.text, limits_of(shell.text), path.string());
  const std::string type = text_of(member(document, "type"));
  check(shell.has_list ? document.is_array() || type == "FeatureCollection" : type == "Feature", kNoQuPath,
        path.string());
  if (!shell.has_list) read(document, "feature 0");
  check(drawing.problem.empty(), "{}", drawing.problem);
  return Annotations(std::move(drawing.polygons), std::move(drawing.notes));
}

std::string to_geojson(const Annotations& annotations) {
  const auto colour_of = [](const Polygon& polygon) {
    if (polygon.excluded) return Written{180, 180, 180};
    return polygon.group == kSuspicious ? Written{255, 140, 0} : Written{200, 0, 0};
  };
  Written features = Written::array();
  for (const Polygon& polygon : annotations.polygons()) {
    Written feature{{"type", "Feature"}};
    Written& rings = feature["geometry"] = {{"type", "Polygon"}, {"coordinates", Written::array()}};
    rings["coordinates"].push_back(ring_of(polygon.points));
    for (const std::vector<Point>& hole : polygon.holes) rings["coordinates"].push_back(ring_of(hole));
    Written& properties = feature["properties"] = {{"objectType", "annotation"}};
    if (!polygon.name.empty()) properties["name"] = polygon.name;
    properties["classification"] = {{"name", group_of(polygon)}, {"color", colour_of(polygon)}};
    features.push_back(std::move(feature));
  }
  const Written collection{{"type", "FeatureCollection"}, {"features", std::move(features)}};
  return collection.dump(-1, ' ', false, Written::error_handler_t::replace) + "\n";
}

}  // namespace mt::wsi
