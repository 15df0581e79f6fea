// What is said before anything is computed: annotations, physical sizes, feature files, one file twice.

#include "train/data/preflight.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "tensor/io/safetensors.h"
#include "tests/harness/error_of.h"
#include "tests/harness/temporary_folder.h"
#include "train/data/bags.h"
#include "train/data/datasets/slide_names.h"
#include "train/data/feature_folder.h"
#include "train/data/same_files.h"
#include "train/data/tiles.h"
#include "train/feature_files/feature_files.h"
#include "wsi/tiff/writer.h"

namespace mt::train {
namespace {

namespace fs = std::filesystem;

/// A slide of `side` px: glass, and tissue in the right half, of texture `seed`.
void write_slide(const fs::path& path, std::optional<double> mpp, int64_t side = 1024, int seed = 0) {
  wsi::RgbImage image(side, side, 245);
  for (int64_t y = 0; y < side; ++y) {
    for (int64_t x = side / 2; x < side; ++x) {
      image.at(x, y)[0] = static_cast<uint8_t>(190 + (x + seed) % 7);
      image.at(x, y)[1] = static_cast<uint8_t>(90 + (y + seed) % 11);
      image.at(x, y)[2] = 150;
    }
  }
  wsi::TiffWriteOptions options;
  options.dialect = wsi::TiffDialect::generic;
  options.mpp = mpp;
  options.levels = 1;
  options.tile = 256;
  wsi::write_tiff_pyramid(path, image, options);
}

/// Six slides of two classes in three splits, s0 to s5; even ones are negative.
Dataset six() {
  Dataset dataset;
  dataset.name = "slides.csv";
  for (int i = 0; i < 6; ++i) {
    SlideRecord record;
    record.id = record.case_id = fmt::format("s{}", i);
    record.label = i % 2;
    record.split = i < 2 ? Split::train : i < 4 ? Split::validation : Split::test;
    dataset.slides.push_back(record);
  }
  return dataset;
}

bool has(const std::vector<std::string>& lines, const std::string& part) {
  return std::any_of(lines.begin(), lines.end(),
                     [&](const auto& line) { return line.find(part) != std::string::npos; });
}

std::string joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  return text;
}

class PreflightTest : public ::testing::Test {
 protected:
  PreflightTest() {
    config_.mpp = "0.5";
    config_.patch = 128;
    dataset_ = six();
    for (std::size_t i = 0; i < 6; ++i) {
      dataset_.slides[i].path = folder_ / (dataset_.slides[i].id + ".tif");
      write_slide(dataset_.slides[i].path, 0.5, 1024, static_cast<int>(i));
    }
  }

  /// An annotation of slide `i`: ASAP's square of a group.
  void outline(std::size_t i, const std::string& group, int x0, int y0, int x1, int y1) {
    annotate(i, square(group, x0, y0, x1, y1));
  }
  static std::string square(const std::string& group, int x0, int y0, int x1, int y1) {
    return fmt::format(
        "<Annotation Name=\"a\" Type=\"Polygon\" PartOfGroup=\"{0}\"><Coordinates><Coordinate Order=\"0\" "
        "X=\"{1}\" Y=\"{2}\"/>"
        "<Coordinate Order=\"1\" X=\"{3}\" Y=\"{2}\"/><Coordinate Order=\"2\" X=\"{3}\" Y=\"{4}\"/>"
        "<Coordinate Order=\"3\" X=\"{1}\" Y=\"{4}\"/></Coordinates></Annotation>",
        group, x0, y0, x1, y1);
  }
  void annotate(std::size_t i, const std::string& annotations) {
    dataset_.slides[i].annotation =
        folder_.put(fmt::format("s{}.xml", i),
                    "<ASAP_Annotations><Annotations>" + annotations + "</Annotations></ASAP_Annotations>");
  }
  /// All problems in one line each; the run must stop for them, and go on with --skip-bad-slides.
  std::vector<std::string> problems() {
    Dataset dataset = dataset_;
    const std::string error = error_of([&] { preflight(dataset, config_); });
    EXPECT_EQ(error == "no error", dataset.problems.empty()) << error;
    return dataset.problems;
  }
  std::vector<std::string> notes() {
    Dataset dataset = dataset_;
    preflight(dataset, config_);
    return dataset.notes;
  }

  TemporaryFolder folder_;
  Config config_;
  Dataset dataset_;
};

TEST_F(PreflightTest, SlidesInOrderHaveNoProblems) {
  outline(1, "Tumor", 600, 100, 900, 400);
  EXPECT_TRUE(problems().empty()) << joined(problems());
  EXPECT_TRUE(notes().empty()) << joined(notes());
}

TEST_F(PreflightTest, AnnotationsThatGiveNoTumourAreProblemsAllInOneList) {
  outline(1, "None", 600, 100, 900, 400);     // no group
  outline(3, "Tumor", 5600, 100, 5900, 400);  // of another slide
  outline(5, "Tumor", 10, 10, 300, 300);      // beside the tissue
  outline(0, "Tumor", 600, 100, 900, 400);    // on a negative slide
  const std::vector<std::string> list = problems();
  EXPECT_EQ(list.size(), 4U) << joined(list);
  EXPECT_TRUE(
      has(list, "s1.xml: outlines no tumour, and slide s1 is positive (annotation \"a\" is in no group; "))
      << joined(list);
  EXPECT_TRUE(has(list, "s3.xml: its outlines lie outside of slide s3 (1024 x 1024 px)")) << joined(list);
  EXPECT_TRUE(
      has(list, "s5.xml: no patch of slide s5 has tumour by its outlines: they lie beside its tissue"))
      << joined(list);
  EXPECT_TRUE(has(list, "s0.xml: outlines tumour (1 outline), and slide s0 is negative")) << joined(list);
}

TEST_F(PreflightTest, OutlinesUnderAnExclusionAndTwiceAroundAreProblems) {
  annotate(1, square("Tumor", 600, 100, 900, 400) + square("Normal", 0, 0, 1024, 1024));
  annotate(3, "");
  const std::vector<std::string> list = problems();
  EXPECT_TRUE(has(list, "s1.xml: no patch of slide s1 has tumour by its outlines: areas that are not tumour"))
      << joined(list);
  EXPECT_TRUE(has(list, "s3.xml: outlines no tumour")) << joined(list);
}

TEST_F(PreflightTest, WhatCountsForNothingIsNoted) {
  annotate(1, square("Tumor", 600, 100, 900, 400) + square("None", 700, 500, 720, 520) +
                  square("Tumor", 3000, 0, 3010, 10));
  std::vector<std::string> list = notes();
  EXPECT_TRUE(has(list, "s1.xml: 1 of 2 outlines of tumour lie outside of the slide")) << joined(list);
  EXPECT_TRUE(has(list, "s1.xml: 1 object left out: annotation \"a\" is in no group")) << joined(list);
  EXPECT_EQ(list.size(), 2U) << joined(list);
  outline(5, "Tumor", 600, 100, 610, 110);  // smaller than half a patch
  std::vector<TiledSlide> slides;
  for (const SlideRecord& record : dataset_.slides)
    slides.push_back({record, make_tiles(record, *open_slide(record, config_), config_)});
  note_small_outlines(dataset_, slides, config_);
  EXPECT_TRUE(has(dataset_.notes, "s5.xml: no patch of slide s5 is tumour by 50 %"))
      << joined(dataset_.notes);
  EXPECT_EQ(dataset_.notes.size(), 1U) << joined(dataset_.notes);
}

TEST_F(PreflightTest, AnnotationsKnownToBeIncompleteAreNotAsked) {
  outline(5, "Tumor", 10, 10, 300, 300);
  dataset_.slides[5].annotation_is_complete = false;
  EXPECT_TRUE(problems().empty()) << joined(problems());
}

TEST_F(PreflightTest, AnOverrideFillsInAndReplacesNothing) {
  write_slide(dataset_.slides[0].path, std::nullopt, 1024, 7);
  write_slide(dataset_.slides[1].path, std::nullopt, 1024, 8);
  EXPECT_TRUE(has(problems(), "s0.tif: does not say its micrometres per pixel; give it with --mpp-override"));
  EXPECT_TRUE(has(problems(), "s1.tif: does not say its micrometres per pixel"));
  config_.mpp_override = 0.25;
  EXPECT_TRUE(problems().empty()) << joined(problems());
  EXPECT_TRUE(has(notes(), "2 of 6 slides say no um/px and are given 0.25 (--mpp-override): s0, s1"))
      << joined(notes());
  const auto patch_of = [&](std::size_t i) {
    const SlideRecord& record = dataset_.slides[i];
    return make_tiles(record, *open_slide(record, config_), config_).patch_level0;
  };
  EXPECT_EQ(patch_of(0), 256);    // given 0.25: two of its pixels make one of a patch
  EXPECT_EQ(patch_of(2), 128);    // says 0.5
  dataset_.slides[2].mpp = 0.25;  // the table's column holds for its slide
  EXPECT_EQ(patch_of(2), 256);
  EXPECT_TRUE(has(notes(), "1 of 6 slides have the um/px of the table"));
}

TEST_F(PreflightTest, SlidesThatWouldBeMagnifiedAreRefused) {
  write_slide(dataset_.slides[0].path, 2.0, 1024, 7);
  write_slide(dataset_.slides[1].path, 0.7, 1024, 8);  // 1.4 times is borne
  const std::vector<std::string> list = problems();
  ASSERT_EQ(list.size(), 1U) << joined(list);
  EXPECT_TRUE(has(list, "s0.tif: has 2 um/px, patches of 0.5 um/px would be magnified 4.0 times")) << list[0];
  const auto slide = open_slide(dataset_.slides[0], config_);
  EXPECT_NE(error_of([&] { make_tiles(dataset_.slides[0], *slide, config_); }).find("magnified"),
            std::string::npos);
  config_.mpp = "native:0";
  EXPECT_TRUE(problems().empty()) << joined(problems());
}

TEST_F(PreflightTest, ASlideSmallerThanAPatchIsCalledSo) {
  config_.mpp = "5";
  const auto slide = open_slide(dataset_.slides[0], config_);
  EXPECT_NE(error_of([&] { make_tiles(dataset_.slides[0], *slide, config_); })
                .find("the slide is 1024 x 1024 px, and a patch of 128 px at --mpp 5 is 1280 of its pixels "
                      "of 0.5 um"),
            std::string::npos);
}

TEST_F(PreflightTest, OneFileUnderTwoIdsIsNotedAndRefusedUnderTwoLabels) {
  fs::copy_file(dataset_.slides[0].path, folder_ / "copy.tif");
  dataset_.slides[4].path = folder_ / "copy.tif";  // train and test
  EXPECT_TRUE(has(
      notes(), "slides s0, s4 are one file, in train and test: figures on unseen slides will look too good"))
      << joined(notes());
  fs::create_symlink(dataset_.slides[1].path, folder_ / "link.tif");
  dataset_.slides[2].path = folder_ / "link.tif";
  EXPECT_TRUE(has(problems(), "slides s1, s2 are one file, and its labels differ")) << joined(problems());
}

/// Feature files, one for each of six slides, and their faults.
class FeaturePreflightTest : public ::testing::Test {
 protected:
  FeaturePreflightTest() {
    fs::create_directories(folder_ / "f");
    for (int i = 0; i < 6; ++i) put(i, 8);
    config_.features = folder_ / "f";
    dataset_ = six();
  }
  void put(int i, int64_t width, int64_t patches = 3, float odd = 0) {
    SlideFeatures slide;
    slide.features = Tensor::empty(Shape({patches, width}));
    for (int64_t k = 0; k < slide.features.numel(); ++k)
      slide.features.data<float>()[k] = static_cast<float>(k + i);
    if (odd != 0) slide.features.data<float>()[width] = odd;
    write_features(folder_ / fmt::format("f/s{}.h5", i), slide);
  }
  TemporaryFolder folder_;
  Config config_;
  Dataset dataset_;
};

TEST_F(FeaturePreflightTest, AllBadFilesAreInOneListAndCanBeSkipped) {
  for (int i = 6; i < 12; ++i) {
    dataset_.slides.push_back(dataset_.slides[static_cast<std::size_t>(i - 6)]);
    dataset_.slides.back().id = fmt::format("s{}", i);
  }
  put(6, 7);
  put(7, 8, 3, NAN);
  put(8, 8, 0);
  folder_.put("f/s9.h5", "<html>404</html>");
  folder_.put("f/s10.h5", "");
  Dataset dataset = dataset_;
  EXPECT_NE(error_of([&] { preflight(dataset, config_); }).find("preflight: 6 problems (listed above)"),
            std::string::npos);
  for (const char* part :
       {"s6.h5: features of width 7, where 6 files have 8",
        "s7.h5: the features of patch 1 have a NaN or infinity", "s8.h5: holds no instance",
        "s9.h5: the HDF5 structure is missing or damaged (libhdf5: file signature not found)",
        "s10.h5: ", "no features of slide s11"})
    EXPECT_TRUE(has(dataset.problems, part)) << part << " in\n" << joined(dataset.problems);
  config_.skip_bad_slides = true;
  EXPECT_EQ(preflight(dataset_, config_).problems, 6);
  EXPECT_EQ(dataset_.slides.size(), 6U);
  EXPECT_EQ(dataset_.left_out.size(), 6U);
}

TEST_F(FeaturePreflightTest, ManyMissingFilesAreOneLine) {
  for (int i = 10; i < 40; ++i) {
    dataset_.slides.push_back(dataset_.slides[static_cast<std::size_t>(i % 6)]);
    dataset_.slides.back().id = fmt::format("s{}", i);
  }
  EXPECT_NE(error_of([&] { preflight(dataset_, config_); }).find("preflight: 1 problem (listed above)"),
            std::string::npos);
  EXPECT_TRUE(
      has(dataset_.problems, "f: no features of 30 of 36 slides (here and two folders below): s10, s11, "))
      << joined(dataset_.problems);
  EXPECT_EQ(dataset_.left_out.size(), 30U);
}

TEST_F(FeaturePreflightTest, AFolderThatIsNotThereIsOneLine) {
  config_.features = folder_ / "g";
  EXPECT_NE(error_of([&] {
              preflight(dataset_, config_);
            }).find("g: this folder is not there; give the folder of the features"),
            std::string::npos);
}

TEST_F(FeaturePreflightTest, CopiesAreFoundByContent) {
  fs::copy_file(folder_ / "f/s0.h5", folder_ / "f/s4.h5", fs::copy_options::overwrite_existing);
  preflight(dataset_, config_);
  EXPECT_TRUE(has(dataset_.notes, "slides s0, s4 are one file, in train and test"));
  EXPECT_EQ(same_files({folder_ / "f/s0.h5", folder_ / "f/s1.h5", folder_ / "f/s4.h5", folder_ / "nothing"}),
            (std::vector<std::vector<std::size_t>>{{0, 2}}));
}

TEST(FeatureFolderTest, FindsTheLayoutsOfTheField) {
  const TemporaryFolder folder;
  const auto put = [&](const std::string& file) {
    fs::create_directories(fs::path(folder / file).parent_path());
    folder.put(file, "x");
  };
  const auto file_of = [&](const std::string& job, const std::string& id) {
    return FeatureFolder(folder / job).file_of(id).lexically_relative(folder / job).string();
  };
  for (const char* file :
       {"clam/h5_files/a.h5", "clam/pt_files/a.pt", "trident/20x_256px_0px_overlap/features_uni_v1/a.h5",
        "trident/20x_256px_0px_overlap/patches/a_patches.h5", "clam2/patches/a.h5", "clam2/features/a.h5",
        "patches/a.h5", "trident/20x_256px_0px_overlap/slide_features_titan/a.h5", "dsmil/1-tumor/a.csv",
        "flat/a.H5", "flat/b.svs.pt", "flat/c.safetensors", "flat/TCGA-AA-0001-01Z-00-DX1.6F9E.h5",
        "both/a.pt", "both/a.h5", "two/x/a.h5", "two/y/a.h5"})
    put(file);
  EXPECT_EQ(file_of("clam", "a"), "h5_files/a.h5");
  EXPECT_EQ(file_of("trident", "a"), "20x_256px_0px_overlap/features_uni_v1/a.h5");
  EXPECT_EQ(file_of("trident/20x_256px_0px_overlap", "a.svs"), "features_uni_v1/a.h5");
  EXPECT_EQ(file_of("clam2", "a"), "features/a.h5");
  EXPECT_EQ(file_of("patches", "a"), "a.h5");
  EXPECT_EQ(file_of("dsmil", "a"), "1-tumor/a.csv");
  EXPECT_EQ(file_of("flat", "A"), "a.H5");
  EXPECT_EQ(file_of("flat", "b"), "b.svs.pt");
  EXPECT_EQ(file_of("flat", "c.tif"), "c.safetensors");
  EXPECT_EQ(file_of("flat", "TCGA-AA-0001-01Z-00-DX1"), "TCGA-AA-0001-01Z-00-DX1.6F9E.h5");
  EXPECT_EQ(file_of("both", "a"), "a.h5");
  const auto ids_in = [&](const std::string& job, const std::string& without = "") {
    return FeatureFolder(folder / job, without.empty() ? fs::path() : fs::path(folder / without)).ids();
  };
  using Ids = std::vector<std::string>;
  EXPECT_EQ(ids_in("clam"), Ids{"a"});
  EXPECT_EQ(ids_in("trident"), Ids{"a"});
  EXPECT_EQ(ids_in("dsmil"), Ids{"a"});
  EXPECT_EQ(ids_in("flat"), (Ids{"TCGA-AA-0001-01Z-00-DX1.6F9E", "a", "b", "c"}));
  put("flat/table.csv");  // a table beside other kinds of files is no bag
  put("flat/.d.h5");
  put("flat/results/e.h5");
  EXPECT_EQ(ids_in("flat", "flat/results"), (Ids{"TCGA-AA-0001-01Z-00-DX1.6F9E", "a", "b", "c"}));
  EXPECT_NE(error_of([&] { file_of("two", "a"); }).find("two files have features of slide a"),
            std::string::npos);
  EXPECT_NE(error_of([&] { file_of("flat", "z"); }).find("no features of slide z (looked for .h5"),
            std::string::npos);
}

TEST(SlideNamesTest, AFileGivesItsNameWithoutEndings) {
  for (const auto& [file, name] : std::vector<std::pair<std::string, std::string>>{{"/x/A.svs", "A"},
                                                                                   {"A.ome.tif", "A"},
                                                                                   {"a.svs.h5", "a"},
                                                                                   {"b.v2.SVS", "b.v2"},
                                                                                   {"c.xyz", "c"},
                                                                                   {"d", "d"},
                                                                                   {" e.tif", " e"},
                                                                                   {"x.y/f.h5", "f"}})
    EXPECT_EQ(slide_name_of(file), name) << file;
}

}  // namespace
}  // namespace mt::train
