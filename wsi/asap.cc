// ASAP's XML: ASAP_Annotations / Annotations / Annotation / Coordinates / Coordinate, in level-0 pixels.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "tensor/check.h"
#include "tensor/io/input_file.h"
#include "tensor/text.h"
#include "wsi/annotation.h"
#include "wsi/annotation_group.h"
#include "wsi/xml_within.h"

namespace mt::wsi {
namespace {

double coordinate(const pugi::xml_node& node, const char* axis, const std::string& where) {
  const char* text = node.attribute(axis).value();
  const char* end = text + std::strlen(text);
  double value = 0;
  const auto [stopped, error] = std::from_chars(text, end, value);
  check(error == std::errc() && stopped == end && std::isfinite(value) && std::abs(value) < 1e9,
        "{}: {}=\"{}\" is not a level-0 coordinate", where, axis, printable(text, 40));
  return value;
}

std::vector<Point> read_points(const pugi::xml_node& annotation, const std::string& where) {
  std::vector<std::pair<int64_t, Point>> ordered;
  for (const pugi::xml_node& node : annotation.child("Coordinates").children("Coordinate")) {
    const int64_t order = node.attribute("Order").as_llong(static_cast<long long>(ordered.size()));
    ordered.push_back({order, {coordinate(node, "X", where), coordinate(node, "Y", where)}});
  }
  std::stable_sort(ordered.begin(), ordered.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<Point> points;
  for (const auto& [order, point] : ordered) points.push_back(point);
  if (points.size() == 2 && lower_case(annotation.attribute("Type").value()) == "rectangle") {
    const auto [from, to] = std::pair(points[0], points[1]);
    points = {from, {to.x, from.y}, to, {from.x, to.y}};
  }
  check(points.size() >= 3, "{} has {} points; an outline needs three", where, points.size());
  return points;
}

/// The group that each group is part of.
using Parents = std::unordered_map<std::string, std::string>;

Parents parents_in(const pugi::xml_node& root) {
  Parents parents;
  for (const pugi::xml_node& group : root.child("AnnotationGroups").children("Group"))
    parents.emplace(group.attribute("Name").value(), group.attribute("PartOfGroup").value());
  return parents;
}

/// What the group is, or the group that it is part of.
AnnotationRole role_in(const Parents& parents, std::string group,
                       const std::vector<std::string>& tumour_groups) {
  constexpr int kMostNested = 16;
  AnnotationRole role = role_of(group, tumour_groups);
  for (int depth = 0; depth < kMostNested && role == AnnotationRole::unknown; ++depth) {
    const auto parent = parents.find(group);
    if (parent == parents.end()) break;
    group = parent->second;
    if (role_of(group, tumour_groups) == AnnotationRole::ungrouped) break;
    role = role_of(group, tumour_groups);
  }
  return role;
}

/// The outline and its holes as one line: from the first point into each hole, around it, and back.
std::vector<Point> in_one_line(const Polygon& polygon) {
  std::vector<Point> points = polygon.points;
  for (const std::vector<Point>& hole : polygon.holes) {
    points.push_back(polygon.points.front());
    points.insert(points.end(), hole.begin(), hole.end());
    points.push_back(hole.front());
  }
  return points;
}

std::string escaped(std::string_view text) {
  std::string result;
  for (const char c : text) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '"':
        result += "&quot;";
        break;
      default:
        result += c;
    }
  }
  return result;
}

}  // namespace

Annotations read_asap(const std::filesystem::path& path, const std::vector<std::string>& tumour_groups) {
  const std::string text = read_file(path.string());
  pugi::xml_document document;
  parse_xml_within(text, path.string() + ": not readable as XML", document);
  const pugi::xml_node root = document.child("ASAP_Annotations");
  check(document.child("Annotations").child("Annotation").child("Regions").empty(),
        "{}: is Aperio ImageScope's XML, which is not read; export it as QuPath's GeoJSON or ASAP's XML",
        path.string());
  check(!root.empty() && !root.child("Annotations").empty(),
        "{}: no ASAP_Annotations/Annotations in it; annotations must be ASAP's XML", path.string());
  const Parents parents = parents_in(root);
  std::vector<Polygon> polygons;
  std::vector<std::string> notes;
  for (const pugi::xml_node& node : root.child("Annotations").children("Annotation")) {
    constexpr std::size_t kMostOddAnnotations = 100'000;
    check(notes.size() <= kMostOddAnnotations, "{}: more than {} annotations in it outline nothing",
          path.string(), kMostOddAnnotations);
    Polygon polygon;
    polygon.name = node.attribute("Name").value();
    polygon.group = node.attribute("PartOfGroup").value();
    const std::string where = fmt::format("annotation \"{}\"", printable(polygon.name, 80));
    const std::string type = lower_case(node.attribute("Type").value());
    if (type == "dot" || type == "pointset" || type == "measurement") continue;
    const AnnotationRole role = role_in(parents, polygon.group, tumour_groups);
    check(role != AnnotationRole::unknown,
          "{}: {} is in group \"{}\"; known are Tumor, _0, _1 (tumour) and _2, Exclusion, Normal (not); name "
          "the groups that are tumour (--tumour-groups)",
          path.string(), where, printable(polygon.group, 80));
    if (role == AnnotationRole::left_out) continue;
    if (role == AnnotationRole::ungrouped) {
      notes.push_back(where + " is in no group");
      continue;
    }
    polygon.excluded = role == AnnotationRole::excluded;
    try {
      polygon.points = read_points(node, where);
    } catch (const Error& error) {
      notes.emplace_back(error.what());
      continue;
    }
    polygons.push_back(std::move(polygon));
  }
  return Annotations(std::move(polygons), std::move(notes));
}

std::string to_asap(const Annotations& annotations) {
  constexpr std::array<const char*, 2> kColours = {"#F4FA58", "#64FE2E"};
  constexpr const char* kOfSuspicious = "#FF8C00";
  const auto colour_of = [&](const std::string& group, std::size_t kind) {
    return kind == 0 && group == kSuspicious ? kOfSuspicious : kColours[kind];
  };
  std::string xml = "<?xml version=\"1.0\"?>\n<ASAP_Annotations>\n\t<Annotations>\n";
  std::array<std::string, 2> groups;  // of tumour, of excluded areas
  std::size_t number = 0;
  for (const Polygon& polygon : annotations.polygons()) {
    const std::size_t kind = polygon.excluded ? 1 : 0;
    const std::string group = group_of(polygon);
    if (groups[kind].empty()) groups[kind] = group;
    const std::string name = polygon.name.empty() ? fmt::format("Annotation {}", number) : polygon.name;
    xml += fmt::format(
        "\t\t<Annotation Name=\"{}\" Type=\"Polygon\" PartOfGroup=\"{}\" "
        "Color=\"{}\">\n\t\t\t<Coordinates>\n",
        escaped(name), escaped(group), colour_of(group, kind));
    const std::vector<Point> points = in_one_line(polygon);
    for (std::size_t i = 0; i < points.size(); ++i) {
      xml += fmt::format("\t\t\t\t<Coordinate Order=\"{}\" X=\"{:.3f}\" Y=\"{:.3f}\" />\n", i, points[i].x,
                         points[i].y);
    }
    xml += "\t\t\t</Coordinates>\n\t\t</Annotation>\n";
    ++number;
  }
  xml += "\t</Annotations>\n\t<AnnotationGroups>\n";
  for (std::size_t kind = 0; kind < groups.size(); ++kind) {
    if (groups[kind].empty()) continue;
    xml += fmt::format(
        "\t\t<Group Name=\"{}\" PartOfGroup=\"None\" Color=\"{}\">\n\t\t\t<Attributes />\n\t\t</Group>\n",
        escaped(groups[kind]), colour_of(groups[kind], kind));
  }
  return xml + "\t</AnnotationGroups>\n</ASAP_Annotations>\n";
}

}  // namespace mt::wsi
