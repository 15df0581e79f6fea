#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>

#include "tests/harness/error_of.h"
#include "tests/harness/temporary_folder.h"
#include "wsi/annotation.h"

namespace mt::wsi {
namespace {

constexpr const char* kSquare = R"([[0,0],[100,0],[100,100],[0,100],[0,0]])";
constexpr const char* kHole = R"([[40,40],[60,40],[60,60],[40,60],[40,40]])";

std::string feature(const std::string& geometry, const std::string& properties) {
  return R"({"type":"Feature","id":"x","geometry":)" + geometry + R"(,"properties":)" + properties + "}";
}

std::string polygon(const std::string& rings) {
  return R"({"type":"Polygon","coordinates":[)" + rings + "]}";
}

std::string of_class(const std::string& name) {
  return R"({"objectType":"annotation","classification":{"name":")" + name + R"(","color":[200,0,0]}})";
}

std::string collection(const std::string& features) {
  return R"({"type":"FeatureCollection","features":[)" + features + "]}";
}

TEST(GeoJsonTest, PolygonsHaveHolesAndMultiPolygonsHaveIslandsInThem) {
  const TemporaryFolder folder;
  const Annotations ring = read_annotations(folder.put(
      "a.geojson", collection(feature(polygon(std::string(kSquare) + "," + kHole), of_class("Tumor")))));
  ASSERT_EQ(ring.polygons().size(), 1U);
  EXPECT_EQ(ring.polygons()[0].points.size(), 4U);
  EXPECT_EQ(ring.polygons()[0].group, "Tumor");
  EXPECT_NEAR(ring.coverage(0, 0, 100), 0.96, 1.0 / Annotations::kSamples);
  EXPECT_FALSE(ring.contains(50, 50));
  EXPECT_TRUE(ring.contains(20, 50));
  // The island lies in the other polygon's hole: holes belong to their polygon only.
  const std::string island = R"([[45,45],[55,45],[55,55],[45,55],[45,45]])";
  const std::string both = std::string("[") + kSquare + "," + kHole + "],[" + island + "]";
  const Annotations islands = read_annotations(folder.put(
      "b.json",
      "[" + feature(R"({"type":"MultiPolygon","coordinates":[)" + both + "]}", of_class("Tumor")) + "]"));
  ASSERT_EQ(islands.polygons().size(), 2U);
  EXPECT_TRUE(islands.contains(50, 50));
  EXPECT_FALSE(islands.contains(42, 50));
}

TEST(GeoJsonTest, ClassesDecideWhatIsTumour) {
  const TemporaryFolder folder;
  const auto read = [&](const std::string& properties, const std::vector<std::string>& tumour = {}) {
    return read_geojson(folder.put("c.geojson", feature(polygon(kSquare), properties)), tumour).polygons();
  };
  for (const char* name : {"Tumor", "tumour", "Tumor: Positive"})
    EXPECT_FALSE(read(of_class(name)).at(0).excluded) << name;
  for (const char* name : {"Ignore*", "Exclusion", "Normal"})
    EXPECT_TRUE(read(of_class(name)).at(0).excluded) << name;
  for (const char* name : {"Stroma", "Immune cells", "Necrosis", "Other", "Region*"})
    EXPECT_TRUE(read(of_class(name)).empty()) << name;
  EXPECT_FALSE(read(R"({"classification":"Tumor"})").at(0).excluded);
  EXPECT_FALSE(read(R"({"classification":{"names":["Tumor","Positive"]}})").at(0).excluded);
  EXPECT_NE(error_of([&] { read(of_class("Metastasis")); }).find("class \"Metastasis\""), std::string::npos);
  EXPECT_FALSE(read(of_class("Metastasis"), {"metastasis"}).at(0).excluded);
  EXPECT_TRUE(read(of_class("Gland"), {"metastasis"}).empty());
  for (const char* properties : {"null", "{}", R"({"classification":null})", R"({"classification":{}})"}) {
    EXPECT_TRUE(read(properties).empty()) << properties;
    EXPECT_EQ(read_geojson(folder / "c.geojson").notes().at(0), "feature 0 has no classification");
    EXPECT_EQ(read(properties, {"None"}).size(), 1U) << properties;
  }
}

TEST(GeoJsonTest, WhatHasNoAreaOrIsNoAnnotationIsSkipped) {
  const TemporaryFolder folder;
  std::string features = feature(R"({"type":"Point","coordinates":[1,2]})", "{}");
  features += "," + feature(R"({"type":"LineString","coordinates":[[1,2],[3,4]]})", "{}");
  for (const char* type : {"detection", "cell", "tile"})
    features += "," + feature(polygon(kSquare), std::string(R"({"objectType":")") + type + "\"}");
  for (const char* id : {"PathCellObject", "PathDetectionObject", "PathTileObject"})  // before QuPath 0.3
    features += R"(,{"type":"Feature","id":")" + std::string(id) + R"(","geometry":)" + polygon(kSquare) +
                R"(,"properties":)" + of_class("Tumor") + "}";
  EXPECT_TRUE(read_geojson(folder.put("d.geojson", collection(features))).polygons().empty());
  EXPECT_TRUE(read_geojson(folder.put("e.geojson", collection(""))).polygons().empty());
}

TEST(GeoJsonTest, LargeFilesOfNothingAreRefusedSoonAndManyNamesTakeLinearTime) {
  const TemporaryFolder folder;
  const auto error = [&](const std::string& content) {
    const std::string file = folder.put("large.geojson", content);
    return error_of([&] { read_annotations(file); });
  };
  std::string numbers = "[";
  for (int i = 0; i < 3'000'000; ++i) numbers += "1,";
  EXPECT_NE(error(numbers + "1]").find("QuPath's GeoJSON"), std::string::npos);
  std::string names;
  for (int i = 0; i < 200'000; ++i) names += fmt::format("\"k{}\":1,", i);
  const std::string feature = R"({"type":"Feature","geometry":)" + polygon(kSquare) + R"(,"properties":{)" +
                              names + R"("classification":{"name":"Tumor"}}})";
  const std::string file = folder.put("names.geojson", collection(feature));
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(read_geojson(file).polygons().size(), 1U);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
  // A list in the outermost object, before and behind the features, and one that only looks like it.
  const std::string small = R"({"type":"Feature","geometry":)" + polygon(kSquare) +
                            R"(,"properties":{"classification":{"name":"Tumor"}}})";
  const std::string odd = R"({"note":"\"features\":[","x":{"features":[1]},"features":[)" + small + "," +
                          small + R"(],"type":"FeatureCollection"})";
  EXPECT_EQ(read_geojson(folder.put("odd.geojson", odd)).polygons().size(), 2U);
}

TEST(GeoJsonTest, BadFilesAreOneClearError) {
  const TemporaryFolder folder;
  const auto error = [&](const std::string& content) {
    const std::string file = folder.put("bad.geojson", content);
    const std::string message = error_of([&] { read_annotations(file); });
    EXPECT_NE(message.find("bad.geojson"), std::string::npos) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    return message;
  };
  EXPECT_NE(error("").find("is empty"), std::string::npos);
  EXPECT_NE(error("{\"type\":").find("not readable as JSON"), std::string::npos);
  EXPECT_NE(error(std::string(100000, '[')).find("levels deep"), std::string::npos);
  EXPECT_NE(error("[1,2").find("not readable as JSON"), std::string::npos);
  EXPECT_NE(error(collection("1,")).find("not readable as JSON"), std::string::npos);
  EXPECT_NE(error("3").find("QuPath's GeoJSON"), std::string::npos);
  EXPECT_NE(error(R"({"type":"FeatureCollection"})").find("QuPath's GeoJSON"), std::string::npos);
}

/// One odd object costs a note, not the slide.
TEST(GeoJsonTest, WhatCannotBeReadIsPassedOverWithANote) {
  const TemporaryFolder folder;
  const auto note = [&](const std::string& odd) {
    const std::string good = feature(polygon(kSquare), of_class("Tumor"));
    const Annotations annotations = read_annotations(folder.put("odd.geojson", collection(good + "," + odd)));
    EXPECT_EQ(annotations.tumour_count(), 1) << odd;
    EXPECT_EQ(annotations.notes().size(), 1U) << odd;
    return annotations.notes().empty() ? std::string() : annotations.notes()[0];
  };
  const auto bad_ring = [&](const std::string& ring) {
    return note(feature(polygon(ring), of_class("Tumor")));
  };
  EXPECT_EQ(note("3"), "feature 1 is no Feature");
  EXPECT_NE(note(feature(R"({"type":"Circle"})", "{}")).find("\"Circle\""), std::string::npos);
  EXPECT_EQ(note(feature("null", of_class("Tumor"))), "feature 1 has no geometry");
  EXPECT_EQ(note(feature(polygon(kSquare), R"({"name":"ROI"})")), "feature 1 has no classification");
  EXPECT_NE(note(feature(R"({"type":"Polygon","coordinates":[]})", of_class("Tumor"))).find("no rings"),
            std::string::npos);
  EXPECT_NE(bad_ring("").find("no rings"), std::string::npos);
  EXPECT_NE(bad_ring("7").find("no list of points"), std::string::npos);
  EXPECT_NE(bad_ring("[[0,0],[1,1],[0,0]]").find("ring of 2 points"), std::string::npos);
  EXPECT_NE(bad_ring("[[0],[1,1],[2,0]]").find("not [x, y]"), std::string::npos);
  EXPECT_NE(bad_ring("[[0,\"a\"],[1,1],[2,0]]").find("not [x, y]"), std::string::npos);
  EXPECT_NE(bad_ring("[[0,1e12],[1,1],[2,0]]").find("not a level-0 coordinate"), std::string::npos);
}

TEST(GeoJsonTest, CollectionsOfGeometriesAreTheirParts) {
  const TemporaryFolder folder;
  const std::string parts = R"({"type":"GeometryCollection","geometries":[)" + polygon(kSquare) + "," +
                            R"({"type":"Point","coordinates":[1,2]},)" + polygon(kHole) + "]}";
  EXPECT_EQ(read_geojson(folder.put("g.geojson", feature(parts, of_class("Tumor")))).tumour_count(), 2);
}

TEST(GeoJsonTest, WhatIsWrittenReadsBackTheSame) {
  const TemporaryFolder folder;
  Polygon tumour{"first \"one\"", "", {{1.125, 2}, {90, 2}, {90, 80.5}, {1, 80}}, false};
  tumour.holes.push_back({{10, 10}, {20, 10}, {20, 20}});
  const Polygon excluded{"", "", {{30, 30}, {40, 30}, {40, 40}}, true};
  const Annotations written({tumour, excluded});
  const Annotations read = read_geojson(folder.put("w.geojson", to_geojson(written)));
  ASSERT_EQ(read.polygons().size(), 2U);
  EXPECT_EQ(read.polygons()[0].name, "first \"one\"");
  EXPECT_EQ(read.polygons()[0].points[0].x, 1.125);
  EXPECT_EQ(read.polygons()[0].points[3].y, 80);
  ASSERT_EQ(read.polygons()[0].holes.size(), 1U);
  EXPECT_EQ(read.polygons()[0].holes[0].size(), 3U);
  EXPECT_TRUE(read.polygons()[1].excluded);
  EXPECT_EQ(read.coverage(0, 0, 100), written.coverage(0, 0, 100));
}

TEST(GeoJsonTest, AsapHasTheHolesToo) {
  const TemporaryFolder folder;
  Polygon tumour{"", "", {{0, 0}, {100, 0}, {100, 100}, {0, 100}}, false};
  tumour.holes.push_back({{10, 10}, {40, 10}, {40, 40}, {10, 40}});
  tumour.holes.push_back({{60, 60}, {90, 60}, {90, 90}, {60, 90}});
  const Polygon island{"", "", {{20, 20}, {30, 20}, {30, 30}, {20, 30}}, false};
  const Annotations written({tumour, island});
  const Annotations read = read_asap(folder.put("w.xml", to_asap(written)));
  // The line into the first hole runs through sample points, where rounding decides.
  EXPECT_NEAR(read.coverage(0, 0, 100), written.coverage(0, 0, 100), 0.01);
  EXPECT_EQ(read.coverage(1, 0, 97), written.coverage(1, 0, 97));
  EXPECT_TRUE(read.contains(25, 25));
  EXPECT_FALSE(read.contains(15, 15));
  EXPECT_FALSE(read.contains(75, 75));
  EXPECT_TRUE(read.contains(50, 50));
}

}  // namespace
}  // namespace mt::wsi
