// Tables of slides as people have them: labels of any name, CLAM's, slides found by id.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "tests/harness/error_of.h"
#include "tests/harness/temporary_folder.h"
#include "train/data/datasets/dataset.h"
#include "train/data/datasets/slide_names.h"

namespace mt::train {
namespace {

namespace fs = std::filesystem;

/// Loads a table; features are given, so that no slide is looked for.
Dataset load(const TemporaryFolder& folder, const std::string& csv, const std::string& positive = {}) {
  Config config;
  config.data = folder.put("slides.csv", csv);
  config.features = folder.path();
  config.positive = positive;
  return load_dataset(config, {});
}

/// Six slides with two labels, two of each split.
std::string labelled(const std::string& negative, const std::string& positive) {
  std::string csv = "slide_id,label,split\n";
  for (int i = 0; i < 6; ++i)
    csv += fmt::format("s{},{},{}\n", i, i % 2 == 0 ? negative : positive,
                       i < 2   ? "train"
                       : i < 4 ? "val"
                               : "test");
  return csv;
}

using Names = std::array<std::string, 2>;

TEST(LabelsTest, WordsThatNeedNoExplanation) {
  const TemporaryFolder folder;
  struct Case {
    const char* negative;
    const char* positive;
    Names names;
  };
  for (const Case& c :
       {Case{"0", "1", {"normal", "tumour"}}, Case{"0.0", "1.0", {"normal", "tumour"}},
        Case{"Normal", "Tumor", {"normal", "tumour"}}, Case{"normal", "TUMOUR", {"normal", "tumour"}},
        Case{"False", "True", {"normal", "tumour"}}, Case{" 0 ", "1 ", {"normal", "tumour"}},
        Case{"negative", "positive", {"negative", "positive"}},
        Case{"normal_tissue", "tumor_tissue", {"normal_tissue", "tumor_tissue"}},
        Case{"Benign", "Malignant", {"Benign", "Malignant"}}}) {
    SCOPED_TRACE(c.positive);
    const Dataset dataset = load(folder, labelled(c.negative, c.positive));
    EXPECT_TRUE(dataset.problems.empty());
    EXPECT_TRUE(class_problems(dataset).empty());
    for (std::size_t i = 0; i < 6; ++i) EXPECT_EQ(dataset.slides[i].label, static_cast<int>(i % 2));
    EXPECT_EQ(dataset.classes, c.names);
  }
}

TEST(LabelsTest, AnyTwoNamesWithPositive) {
  const TemporaryFolder folder;
  for (const auto& [negative, positive, flag] :
       {std::array{"wildtype", "mutant", "mutant"}, std::array{"LUAD", "LUSC", "lusc"},
        std::array{"1", "2", "2"}, std::array{"tumor", "normal", "normal"}, std::array{"5", "3", "3.0"}}) {
    SCOPED_TRACE(positive);
    const Dataset dataset = load(folder, labelled(negative, positive), flag);
    EXPECT_TRUE(dataset.problems.empty());
    for (std::size_t i = 0; i < 6; ++i) EXPECT_EQ(dataset.slides[i].label, static_cast<int>(i % 2));
  }
  EXPECT_EQ(load(folder, labelled("wildtype", "mutant"), "mutant").classes, (Names{"wildtype", "mutant"}));
  // Who turns the classes round gets no class called tumour that is none.
  EXPECT_EQ(load(folder, labelled("tumor", "normal"), "normal").classes, (Names{"tumor", "normal"}));
  EXPECT_EQ(load(folder, labelled("1", "0"), "0").classes, (Names{"1", "0"}));
  EXPECT_EQ(error_of([&] { load(folder, labelled("LUAD", "LUSC")); }),
            "slides.csv: the labels are LUAD (3), LUSC (3); say which is the positive class, --positive LUAD "
            "or --positive LUSC");
  EXPECT_EQ(error_of([&] { load(folder, labelled("LUAD", "LUSC"), "COAD"); }),
            "--positive COAD: no slide of slides.csv is labelled so; the labels are LUAD (3), LUSC (3)");
}

TEST(LabelsTest, MoreThanTwoClassesAreRefusedWithTheirNames) {
  const TemporaryFolder folder;
  const std::string three = labelled("LUAD", "LUSC") + "s6,COAD,train\n";
  EXPECT_NE(
      error_of([&] { load(folder, three); }).find("the labels are COAD (1), LUAD (3), LUSC (3); two classes"),
      std::string::npos);
  EXPECT_NE(error_of([&] { load(folder, three, "LUSC"); }).find("two classes are supported"),
            std::string::npos);
  // One odd label among known ones is that slide's problem.
  const Dataset dataset = load(folder, labelled("0", "1") + "s6,2,train\ns7,2,train\n");
  EXPECT_EQ(dataset.slides.size(), 6U);
  ASSERT_EQ(dataset.problems.size(), 1U);
  EXPECT_NE(dataset.problems[0].find("slides.csv, line 8: label \"2\" (2 slides): two classes are supported"),
            std::string::npos)
      << dataset.problems[0];
  EXPECT_EQ(dataset.left_out.size(), 2U);
}

TEST(LabelsTest, MissingLabelsAreListed) {
  const TemporaryFolder folder;
  const Dataset few = load(folder, labelled("0", "1") + "a,,train\nb,NaN,train\nc,n/a,train\n");
  ASSERT_EQ(few.problems.size(), 3U);
  EXPECT_NE(few.problems[1].find("slides.csv, line 9: slide b has no label"), std::string::npos)
      << few.problems[1];
  std::string many = labelled("0", "1");
  for (int i = 0; i < 20; ++i) many += fmt::format("x{:02},,train\n", i);
  const Dataset grouped = load(folder, many);
  ASSERT_EQ(grouped.problems.size(), 1U);
  EXPECT_NE(grouped.problems[0].find("20 of 26 slides have no label: x00, "), std::string::npos)
      << grouped.problems[0];
  EXPECT_EQ(grouped.slides.size(), 6U);
}

TEST(LabelsTest, ClamsTableAloneIsADataset) {
  const TemporaryFolder folder;
  std::string csv = "case_id,slide_id,label\n";
  for (int i = 0; i < 24; ++i)
    csv += fmt::format("patient_{},s{:02},{}\n", i / 2, i, i / 2 % 2 ? "tumor_tissue" : "normal_tissue");
  const Dataset dataset = load(folder, csv);
  EXPECT_TRUE(dataset.problems.empty());
  EXPECT_EQ(dataset.slides.size(), 24U);
  EXPECT_EQ(dataset.slides[3].case_id, "patient_1");
}

TEST(LabelsTest, AnEmptyCaseOfALabelTableChangesNothing) {
  const TemporaryFolder folder;
  Config config;
  config.data = folder.put("slides.csv", labelled("0", "1"));
  config.features = folder.path();
  config.labels = folder.put(
      "labels.csv", "case_id,slide_id,label\n,s0.svs,1\np,S1,0\n,s2,0\n,s3,1\n,s4,0\n,s5,1\n,s9,1\n");
  const Dataset dataset = load_dataset(config, {});
  EXPECT_EQ(dataset.slides[0].case_id, "s0");
  EXPECT_EQ(dataset.slides[0].label, 1);
  EXPECT_EQ(dataset.slides[1].case_id, "p");
  ASSERT_EQ(dataset.problems.size(), 1U);
  EXPECT_NE(dataset.problems[0].find("labels.csv, line 8: a label for slide s9, of which there is no file"),
            std::string::npos);
}

TEST(SlideTableTest, SlidesAreFoundByTheirIdsWhateverTheirEnding) {
  const TemporaryFolder folder;
  fs::create_directories(folder / "slides/batch 2");
  fs::create_directories(folder / "slides/a/b");
  for (const char* file : {"slides/s0.svs", "slides/S1.TIF", "slides/batch 2/s2.ome.tiff", "slides/s3.ndpi",
                           "slides/TCGA-AA-0001-01Z-00-DX1.6F9E-11.svs", "slides/s0_mask.tif",
                           "slides/s0.xml", "slides/a/b/s5.svs"})
    folder.put(file, "");
  Config config;
  config.data =
      folder.put("clam.csv",
                 "case_id,slide_id,label,split\np,s0,0,train\np,s1,1,train\np,s2.ome.tiff,0,val\np,s3,1,val\n"
                 "p,TCGA-AA-0001-01Z-00-DX1,0,test\np,s5,1,test\n");
  config.root = folder / "slides";
  const Dataset dataset = load_dataset(config, {});
  const auto file_of = [&](const std::string& id) {
    for (const SlideRecord& slide : dataset.slides) {
      if (slide.id == id) return slide.path.lexically_relative(folder / "slides").string();
    }
    return std::string("none");
  };
  EXPECT_EQ(file_of("s0"), "s0.svs");
  EXPECT_EQ(file_of("s1"), "S1.TIF");
  EXPECT_EQ(file_of("s2.ome.tiff"), "batch 2/s2.ome.tiff");
  EXPECT_EQ(file_of("s3"), "s3.ndpi");
  EXPECT_EQ(file_of("TCGA-AA-0001-01Z-00-DX1"), "TCGA-AA-0001-01Z-00-DX1.6F9E-11.svs");
  ASSERT_EQ(dataset.problems.size(), 1U);
  EXPECT_NE(dataset.problems[0].find("clam.csv, line 7: of slide s5 there is no file in "), std::string::npos)
      << dataset.problems[0];
  EXPECT_NE(dataset.problems[0].find("--root"), std::string::npos);

  folder.put("slides/batch 2/s0.tif", "");
  EXPECT_NE(load_dataset(config, {}).problems.at(0).find("slide s0 has 2 files"), std::string::npos);
  config.root = folder / "elsewhere";
  EXPECT_NE(error_of([&] {
              load_dataset(config, {});
            }).find("elsewhere: this folder is not there; give the folder"),
            std::string::npos);
}

TEST(SlideTableTest, ManyMissingSlidesAreOneLine) {
  const TemporaryFolder folder;
  Config config;
  std::string csv = "slide_id,label\n";
  for (int i = 0; i < 30; ++i) csv += fmt::format("s{:02},{}\n", i, i % 2);
  config.data = folder.put("c.csv", csv);
  const Dataset dataset = load_dataset(config, {});
  ASSERT_EQ(dataset.problems.size(), 1U);
  EXPECT_NE(dataset.problems[0].find("c.csv: of 30 slides there is no file in "), std::string::npos);
  EXPECT_NE(dataset.problems[0].find("s00, s01, s02, s03, s04, s05, s06, s07, s08, s09 and 20 more"),
            std::string::npos);
}

TEST(SlideTableTest, EveryOddRowIsInOneList) {
  const TemporaryFolder folder;
  const Dataset dataset =
      load(folder,
           "slide_id,label,split,mpp\na,0,train,\nb,1,training,0.25\nc,0,VAL,0.25\nd,1,dev,coarse\n"
           "e,0,somewhere,\nf,1,,\ng,0,test,-1\nh,1,test,1e9\na,1,test,\n,1,test,\n");
  std::string all;
  for (const std::string& problem : dataset.problems) all += problem + "\n";
  for (const char* part :
       {"line 5: slide d: mpp \"coarse\"", "line 6: slide e: split \"somewhere\"",
        "line 7: slide f: split \"\"", "line 8: slide g: mpp \"-1\"", "line 9: slide h: mpp \"1e9\"",
        "line 10: two slides are called a", "line 11: slide_id \"\": is empty"})
    EXPECT_NE(all.find(part), std::string::npos) << part << " in\n" << all;
}

TEST(SlideTableTest, ColumnsHaveTheNamesOfTheField) {
  const TemporaryFolder folder;
  const Dataset dataset =
      load(folder, "Patient ID;Slide;Label;MPP;split\np1;a;0;0,25;train\np2;b;1;0.5;train\n");
  ASSERT_EQ(dataset.slides.size(), 2U);
  EXPECT_EQ(dataset.slides[0].case_id, "p1");
  EXPECT_EQ(dataset.slides[0].mpp, 0.25);
  EXPECT_EQ(dataset.slides[1].mpp, 0.5);
}

TEST(SlideNamesTest, PlainNamesHaveNoFolderEndingDecimalsOrCase) {
  for (const char* name : {"Tumor_001", "tumor_001.tif", "a/b/TUMOR_001.OME.TIFF", "C:\\x\\tumor_001.svs",
                           "tumor_001.svs.h5", " tumor_001 "})
    EXPECT_EQ(plain_name(name), "tumor_001") << name;
  EXPECT_EQ(plain_name("1000.0"), "1000");
  EXPECT_EQ(plain_name("1000.5"), "1000.5");
  EXPECT_EQ(plain_name("v1.0"), "v1.0");
  EXPECT_EQ(plain_name(".svs"), ".svs");
  EXPECT_EQ(plain_name("TCGA-A.uuid.svs"), "tcga-a.uuid");
}

TEST(SlideNamesTest, NamesThatFitTwoSlidesFitNone) {
  std::vector<SlideRecord> slides(3);
  slides[0].id = "a.svs";
  slides[1].id = "A";
  slides[2].id = "b";
  const SlideNames names(slides);
  EXPECT_EQ(names.find("A"), 1U);
  EXPECT_EQ(names.find("a.svs"), 0U);
  EXPECT_FALSE(names.find("a"));
  EXPECT_EQ(names.find("B.tif"), 2U);
}

}  // namespace
}  // namespace mt::train
