#include "wsi/annotation.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "tests/harness/error_of.h"
#include "tests/harness/temporary_folder.h"

namespace mt::wsi {
namespace {

Polygon rectangle(double x0, double y0, double x1, double y1, bool excluded = false) {
  return {"", "", {{x0, y0}, {x1, y0}, {x1, y1}, {x0, y1}}, excluded};
}

std::string asap(const std::string& annotations) {
  return "<?xml version=\"1.0\"?><ASAP_Annotations><Annotations>" + annotations +
         "</Annotations></ASAP_Annotations>";
}

std::string square(const std::string& group, const std::string& type = "Polygon") {
  return "<Annotation Name=\"a\" Type=\"" + type + "\" PartOfGroup=\"" + group +
         "\"><Coordinates><Coordinate Order=\"0\" X=\"0\" Y=\"0\"/><Coordinate Order=\"1\" X=\"10\" Y=\"0\"/>"
         "<Coordinate Order=\"2\" X=\"10\" Y=\"10\"/><Coordinate Order=\"3\" X=\"0\" "
         "Y=\"10\"/></Coordinates></Annotation>";
}

TEST(AnnotationTest, CoverageOfRectanglesIsTheirArea) {
  const Annotations annotations({rectangle(100, 100, 200, 200)});
  EXPECT_EQ(annotations.coverage(110, 120, 64), 1.0);
  EXPECT_EQ(annotations.coverage(300, 100, 64), 0.0);
  EXPECT_EQ(annotations.coverage(68, 120, 64), 0.5);
  EXPECT_EQ(annotations.coverage(68, 68, 64), 0.25);
  EXPECT_NEAR(annotations.coverage(0, 0, 300), 1.0 / 9, 1.0 / Annotations::kSamples);
}

TEST(AnnotationTest, CoverageOfACircleIsWithinItsBound) {
  Polygon circle;
  for (int i = 0; i < 720; ++i) {
    const double angle = i * std::acos(-1.0) / 360;
    circle.points.push_back({500 + 100 * std::cos(angle), 500 + 100 * std::sin(angle)});
  }
  const Annotations annotations({circle});
  EXPECT_NEAR(annotations.coverage(400, 400, 200), std::acos(-1.0) / 4, 1.0 / Annotations::kSamples);
  EXPECT_NEAR(annotations.coverage(500, 500, 100), std::acos(-1.0) / 4, 1.0 / Annotations::kSamples);
}

TEST(AnnotationTest, HolesAreTakenAwayWhateverTheOrderAndTumourOverlapsCountOnce) {
  const Annotations annotations(
      {rectangle(40, 0, 60, 100, true), rectangle(0, 0, 100, 100), rectangle(50, 0, 100, 100)});
  EXPECT_NEAR(annotations.coverage(0, 0, 100), 0.8, 1.0 / Annotations::kSamples);
  EXPECT_TRUE(annotations.contains(70, 50));
  EXPECT_FALSE(annotations.contains(50, 50));
  EXPECT_FALSE(annotations.contains(150, 50));
}

TEST(AnnotationTest, CoverageAgreesWithContainsAtItsSamplePoints) {
  const Polygon star = {"", "", {{50, 0}, {80, 95}, {2, 36}, {98, 36}, {20, 95}}, false};  // crosses itself
  const Annotations annotations({star, rectangle(45, 45, 55, 55, true)});
  int inside = 0;
  for (int row = 0; row < Annotations::kSamples; ++row) {
    for (int column = 0; column < Annotations::kSamples; ++column) {
      const double step = 90.0 / Annotations::kSamples;
      inside += annotations.contains(3 + (column + 0.5) * step, 7 + (row + 0.5) * step) ? 1 : 0;
    }
  }
  EXPECT_GT(inside, 200);
  EXPECT_EQ(annotations.coverage(3, 7, 90), inside / 1024.0);
}

TEST(AnnotationTest, GroupsFollowCamelyonsRules) {
  const TemporaryFolder folder;
  for (const char* group : {"Tumor", "tumor", "_0", "_1", "Tumour"}) {
    EXPECT_TRUE(read_asap(folder.put("t.xml", asap(square(group)))).has_tumour()) << group;
  }
  for (const char* group : {"_2", "Exclusion", "Normal"}) {
    const Annotations annotations = read_asap(folder.put("e.xml", asap(square(group))));
    ASSERT_EQ(annotations.polygons().size(), 1U) << group;
    EXPECT_TRUE(annotations.polygons()[0].excluded) << group;
  }
  EXPECT_TRUE(read_asap(folder.put("d.xml", asap(square("Tumor", "Dot")))).polygons().empty());
}

/// ASAP writes PartOfGroup="None" where nobody chose a group. Is it tumour? Nobody said.
TEST(AnnotationTest, AnOutlineInNoGroupSaysNothing) {
  const TemporaryFolder folder;
  for (const char* group : {"None", "none", ""}) {
    const std::string file = folder.put("n.xml", asap(square(group) + square("Tumor")));
    const Annotations annotations = read_asap(file);
    EXPECT_EQ(annotations.polygons().size(), 1U) << group;
    ASSERT_EQ(annotations.notes().size(), 1U);
    EXPECT_EQ(annotations.notes()[0], "annotation \"a\" is in no group");
    EXPECT_EQ(read_asap(file, {"None"}).tumour_count(), 2) << group;
  }
}

TEST(AnnotationTest, AGroupInsideOfAKnownGroupIsAsThatIs) {
  const TemporaryFolder folder;
  const auto with_groups = [&](const std::string& groups) {
    return folder.put("s.xml", "<ASAP_Annotations><Annotations>" + square("ITC") +
                                   "</Annotations><AnnotationGroups>" + groups +
                                   "</AnnotationGroups></ASAP_Annotations>");
  };
  const std::string tumour = "<Group Name=\"Tumor\" PartOfGroup=\"None\"/>";
  EXPECT_TRUE(
      read_asap(
          with_groups(
              "<Group Name=\"ITC\" PartOfGroup=\"small\"/><Group Name=\"small\" PartOfGroup=\"Tumor\"/>" +
              tumour))
          .has_tumour());
  EXPECT_TRUE(read_asap(with_groups("<Group Name=\"ITC\" PartOfGroup=\"_2\"/>")).polygons().at(0).excluded);
  for (const char* parent : {"None", "", "ITC", "elsewhere"}) {
    const std::string file =
        with_groups("<Group Name=\"ITC\" PartOfGroup=\"" + std::string(parent) + "\"/>" + tumour);
    EXPECT_NE(error_of([&] { read_asap(file); }).find("group \"ITC\""), std::string::npos) << parent;
  }
}

TEST(AnnotationTest, WhatTheFileBeginsWithDecidesHowItIsRead) {
  const TemporaryFolder folder;
  const std::string xml = asap(square("Tumor"));
  const std::string json =
      R"({"type":"Feature","geometry":{"type":"Polygon","coordinates":[[[0,0],[10,0],[10,10],[0,0]]]},
    "properties":{"classification":{"name":"Tumor"}}})";
  for (const char* name : {"a.xml", "a.XML", "a.geojson", "a.GEOJSON", "a.json", "a.txt", "a"}) {
    for (const std::string& text : {xml, json, "\xEF\xBB\xBF" + xml, "\xEF\xBB\xBF" + json, "\r\n  " + json})
      EXPECT_TRUE(read_annotations(folder.put(name, text)).has_tumour()) << name << ": " << text;
  }
  std::string wide = "\xFF\xFE";
  for (const char c : xml) wide += std::string({c, '\0'});
  EXPECT_TRUE(read_annotations(folder.put("utf16.xml", wide)).has_tumour());
  EXPECT_NE(error_of([&] { read_annotations(folder.put("e.xml", "")); }).find("e.xml: is empty"),
            std::string::npos);
  EXPECT_NE(error_of([&] {
              read_annotations(folder.put("t.xml", "tumour at 3, 4"));
            }).find("neither ASAP's XML nor QuPath's GeoJSON"),
            std::string::npos);
}

TEST(AnnotationTest, KnowsWhichOutlinesLieOutsideOfASlide) {
  const Annotations annotations({rectangle(-50, 10, -1, 20), rectangle(-5, 10, 5, 20),
                                 rectangle(90, 90, 300, 300), rectangle(201, 0, 300, 10),
                                 rectangle(500, 500, 600, 600, true)});
  EXPECT_EQ(annotations.tumour_count(), 4);
  EXPECT_EQ(annotations.tumour_count_outside(200, 100), 2);
  const Annotations covered({rectangle(10, 10, 20, 20), rectangle(0, 0, 100, 100, true)});
  EXPECT_EQ(covered.coverage(10, 10, 10), 0);
  EXPECT_EQ(covered.coverage_without_exclusion(10, 10, 10), 1);
}

TEST(AnnotationTest, UnknownGroupsAreAnErrorUntilTumourGroupsAreNamed) {
  const TemporaryFolder folder;
  const std::string file = folder.put("g.xml", asap(square("malignant") + square("benign")));
  EXPECT_NE(error_of([&] { read_asap(file); }).find("group \"malignant\""), std::string::npos);
  const Annotations annotations = read_asap(file, {"Malignant"});
  ASSERT_EQ(annotations.polygons().size(), 1U);
  EXPECT_FALSE(annotations.polygons()[0].excluded);
}

TEST(AnnotationTest, PointsComeInTheirOrder) {
  const TemporaryFolder folder;
  const std::string file = folder.put(
      "o.xml", asap("<Annotation Name=\"a\" Type=\"Polygon\" PartOfGroup=\"_0\"><Coordinates>"
                    "<Coordinate Order=\"2\" X=\"3\" Y=\"4.5\"/><Coordinate Order=\"0\" X=\"-1\" Y=\"0\"/>"
                    "<Coordinate Order=\"1\" X=\"2e1\" Y=\"1\"/></Coordinates></Annotation>"));
  const std::vector<Point> points = read_asap(file).polygons()[0].points;
  ASSERT_EQ(points.size(), 3U);
  EXPECT_EQ(points[0].x, -1);
  EXPECT_EQ(points[1].x, 20);
  EXPECT_EQ(points[2].y, 4.5);
}

TEST(AnnotationTest, BadFilesAreOneClearError) {
  const TemporaryFolder folder;
  const auto error = [&](const std::string& content) {
    const std::string file = folder.put("bad.xml", content);
    const std::string message = error_of([&] { read_asap(file); });
    EXPECT_NE(message.find("bad.xml"), std::string::npos) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    return message;
  };
  EXPECT_NE(error("<ASAP_Annotations><Annota").find("not readable as XML"), std::string::npos);
  EXPECT_NE(error("").find("not readable as XML"), std::string::npos);
  EXPECT_NE(error("<Something/>").find("no ASAP_Annotations/Annotations"), std::string::npos);
  EXPECT_NE(error("<Annotations><Annotation><Regions/></Annotation></Annotations>").find("ImageScope"),
            std::string::npos);
  EXPECT_NE(error_of([&] { read_asap(folder / "missing.xml"); }).find("missing.xml"), std::string::npos);
}

/// One odd object costs a note, not the slide.
TEST(AnnotationTest, WhatCannotBeReadIsPassedOverWithANote) {
  const TemporaryFolder folder;
  const auto note = [&](const std::string& odd) {
    const Annotations annotations = read_asap(folder.put("odd.xml", asap(square("Tumor") + odd)));
    EXPECT_EQ(annotations.tumour_count(), 1) << odd;
    EXPECT_EQ(annotations.notes().size(), 1U) << odd;
    return annotations.notes().empty() ? std::string() : annotations.notes()[0];
  };
  const std::string two =
      "<Annotation Name=\"b\" Type=\"Polygon\" PartOfGroup=\"_0\"><Coordinates>"
      "<Coordinate Order=\"0\" X=\"1\" Y=\"1\"/><Coordinate Order=\"1\" X=\"2\" Y=\"2\"/>"
      "</Coordinates></Annotation>";
  EXPECT_EQ(note(two), "annotation \"b\" has 2 points; an outline needs three");
  for (const char* value : {"", "abc", "nan", "inf", "1e12", "1,5"}) {
    std::string text = square("_0");
    text.replace(text.find("X=\"10\""), 6, std::string("X=\"") + value + "\"");
    EXPECT_NE(note(text).find("is not a level-0 coordinate"), std::string::npos) << value;
  }
  for (const char* type : {"Dot", "PointSet", "Measurement"}) {
    const Annotations annotations = read_asap(folder.put("m.xml", asap(square("None", type))));
    EXPECT_TRUE(annotations.polygons().empty() && annotations.notes().empty()) << type;
  }
  std::string rectangle = two;
  rectangle.replace(rectangle.find("Polygon"), 7, "Rectangle");
  EXPECT_EQ(read_asap(folder.put("r.xml", asap(rectangle))).coverage(1, 1, 1), 1);
}

TEST(AnnotationTest, WrittenAsapReadsBackTheSame) {
  const TemporaryFolder folder;
  Polygon tumour = rectangle(1.125, 2, 30.5, 40);
  tumour.name = "first & <only>";
  const Annotations written({tumour, rectangle(5, 5, 6, 6, true)});
  const Annotations read = read_asap(folder.put("w.xml", to_asap(written)));
  ASSERT_EQ(read.polygons().size(), 2U);
  EXPECT_EQ(read.polygons()[0].name, "first & <only>");
  EXPECT_EQ(read.polygons()[0].group, "Tumor");
  EXPECT_EQ(read.polygons()[0].points[0].x, 1.125);
  EXPECT_TRUE(read.polygons()[1].excluded);
}

// wsiprocess' examples: 4 polygons and splines and 2 dots; 22 rectangles of which 21 are malignant, and so
// on.
TEST(AnnotationTest, ReadsAsapFilesFromOtherHands) {
  const char* slides = std::getenv("MICROTOME_TEST_SLIDES");
  if (slides == nullptr) GTEST_SKIP() << "MICROTOME_TEST_SLIDES is not set";
  std::size_t polygons = 0;
  for (const char* task : {"classification", "detection", "segmentation"}) {
    const auto file = std::filesystem::path(slides) / ("wsiprocess_CMU-1_" + std::string(task) + ".xml");
    if (!std::filesystem::exists(file)) GTEST_SKIP() << file << " is not there";
    const Annotations annotations = read_asap(file, {"malignant"});
    for (const Polygon& polygon : annotations.polygons()) {
      EXPECT_EQ(polygon.group, "malignant");
      double x = 0;
      double y = 0;
      for (const Point& point : polygon.points) {
        x += point.x / static_cast<double>(polygon.points.size());
        y += point.y / static_cast<double>(polygon.points.size());
      }
      EXPECT_GT(annotations.coverage(x - 1, y - 1, 2), 0.0) << file << " " << polygon.name;
      ++polygons;
    }
  }
  EXPECT_EQ(polygons, 26U);  // 22 rectangles, 2 polygons, 2 splines
}

TEST(AsapTest, MillionsOfElementsWithoutATextAreRefusedBeforeMemoryIsTaken) {
  const TemporaryFolder folder;
  std::string text = "<ASAP_Annotations><Annotations>";
  for (int i = 0; i < 8'000'000; ++i) text += "<a/>";  // 32 MB, and half a gigabyte as a tree
  const std::string file = folder.put("bomb.xml", text + "</Annotations></ASAP_Annotations>");
  EXPECT_NE(error_of([&] { read_annotations(file); }).find("more elements"), std::string::npos);
}

}  // namespace
}  // namespace mt::wsi
