// Splits: the paper's for Camelyon16, CLAM's files, and cases that they tear apart. DSMIL's lists of bags.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <filesystem>

#include "tests/harness/error_of.h"
#include "tests/harness/temporary_folder.h"
#include "train/bags.h"
#include "train/datasets/dataset.h"

namespace mt::train {
namespace {

namespace fs = std::filesystem;

/// Camelyon16 as it is published today, with empty files in place of slides.
void put_camelyon16(const TemporaryFolder& folder) {
  for (const char* part : {"training/normal", "training/tumor", "testing/images"})
    fs::create_directories(folder / part);
  for (int i = 1; i <= 160; ++i) folder.put(fmt::format("training/normal/normal_{:03}.tif", i), "");
  for (int i = 1; i <= 111; ++i) folder.put(fmt::format("training/tumor/tumor_{:03}.tif", i), "");
  std::string reference = "slide,type\n";
  for (int i = 1; i <= 130; ++i) {
    folder.put(fmt::format("testing/images/test_{:03}.tif", i), "");
    reference += fmt::format("test_{:03},{}\n", i, i % 2 == 0 ? "Tumor" : "Normal");
  }
  folder.put("testing/reference.csv", reference);
}

/// Slides by split (train, validation, test) and label (normal, tumour).
std::array<std::array<int, 2>, 3> counts(const Dataset& dataset) {
  std::array<std::array<int, 2>, 3> result{};
  for (const SlideRecord& slide : dataset.slides)
    ++result[static_cast<std::size_t>(slide.split)][static_cast<std::size_t>(slide.label)];
  return result;
}

Split split_of(const Dataset& dataset, const std::string& id) {
  const auto found = std::find_if(dataset.slides.begin(), dataset.slides.end(),
                                  [&](const SlideRecord& slide) { return slide.id == id; });
  EXPECT_NE(found, dataset.slides.end()) << id;
  return found == dataset.slides.end() ? Split::test : found->split;
}

bool has_note(const Dataset& dataset, const std::string& part) {
  return std::any_of(dataset.notes.begin(), dataset.notes.end(),
                     [&](const std::string& note) { return note.find(part) != std::string::npos; });
}

TEST(SplitsTest, ThePapersSplitOfCamelyon16FitsThePublishedSlides) {
  const TemporaryFolder folder;
  put_camelyon16(folder);
  Config config;
  config.data = "camelyon16";
  config.root = folder.path();
  config.splits = MT_SPLITS_DIR "/camelyon16_paper.csv";
  const Dataset dataset = load_dataset(config, {});
  EXPECT_TRUE(dataset.problems.empty()) << dataset.problems.front();
  const auto found = counts(dataset);
  EXPECT_EQ(found[0], (std::array<int, 2>{127, 89}));  // 216 train
  EXPECT_EQ(found[1], (std::array<int, 2>{32, 22}));   // 54 validate
  EXPECT_EQ(found[2][0] + found[2][1], 129);
  // Three names of each list of the public code.
  for (const char* id : {"normal_155", "tumor_088", "normal_080"})
    EXPECT_EQ(split_of(dataset, id), Split::train);
  for (const char* id : {"normal_123", "tumor_066", "tumor_019"})
    EXPECT_EQ(split_of(dataset, id), Split::validation);
  for (const char* id : {"test_001", "test_114", "test_130"}) EXPECT_EQ(split_of(dataset, id), Split::test);
}

TEST(SplitsTest, ASlideOfTheListWithoutAFileIsAProblem) {
  const TemporaryFolder folder;
  put_camelyon16(folder);
  fs::remove(folder / "training/tumor/tumor_088.tif");
  Config config;
  config.data = "camelyon16";
  config.root = folder.path();
  config.splits = MT_SPLITS_DIR "/camelyon16_paper.csv";
  const Dataset dataset = load_dataset(config, {});
  ASSERT_EQ(dataset.problems.size(), 1U);
  EXPECT_NE(dataset.problems[0].find("slide tumor_088 is in split train, but there is no file"),
            std::string::npos);
}

TEST(SplitsTest, WithoutASplitThePapersIsNamed) {
  const TemporaryFolder folder;
  put_camelyon16(folder);
  Config config;
  config.data = "camelyon16";
  config.root = folder.path();
  const Dataset dataset = load_dataset(config, {});
  EXPECT_TRUE(has_note(dataset, "camelyon16_paper.csv"));
  EXPECT_EQ(counts(dataset)[2][0] + counts(dataset)[2][1], 129);
}

/// Eight slides of four patients, p0 to p3, two slides each; patients 0 and 2 are negative.
Dataset eight_slides(const TemporaryFolder& folder, const std::string& splits) {
  std::string csv = "slide_id,path,label,case_id\n";
  for (int i = 0; i < 8; ++i) csv += fmt::format("s{},s{}.svs,{},p{}\n", i, i, i / 2 % 2, i / 2);
  Config config;
  config.data = folder.put("slides.csv", csv);
  config.splits = folder.put("splits_0.csv", splits);
  return load_dataset(config, {});
}

TEST(SplitsTest, ClamsFilesHaveAnIndexColumnAndEmptyEnds) {
  const TemporaryFolder folder;
  const Dataset dataset = eight_slides(folder, ",train,val,test\n0,s0,s1,s4\n1,s2,s3,s6\n2,s5,,\n");
  EXPECT_TRUE(dataset.problems.empty());
  EXPECT_EQ(dataset.slides.size(), 7U);
  EXPECT_TRUE(has_note(dataset, "1 slide is in no split"));
  EXPECT_EQ(counts(dataset)[0], (std::array<int, 2>{2, 1}));
  EXPECT_EQ(split_of(dataset, "s3"), Split::validation);
  EXPECT_EQ(split_of(dataset, "s6"), Split::test);
}

TEST(SplitsTest, ACaseInTwoSplitsIsNoted) {
  const TemporaryFolder folder;
  const Dataset torn = eight_slides(folder, ",train,val,test\n0,s0,s1,s4\n1,s2,s3,s6\n");
  EXPECT_TRUE(has_note(torn, "case p0 has slides in train and validation"));
  EXPECT_TRUE(has_note(torn, "case p1 has slides in train and validation"));
  EXPECT_FALSE(has_note(torn, "case p2"));
}

TEST(DsmilListTest, NamesBagsByTheirFilesAndNeedsFeatures) {
  const TemporaryFolder folder;
  fs::create_directories(folder / "c/0-normal");
  fs::create_directories(folder / "c/1-tumor");
  std::string list = "0,label\n";
  for (int i = 0; i < 12; ++i) {
    const std::string file = fmt::format("{}/s{}.csv", i % 2 == 0 ? "0-normal" : "1-tumor", i);
    folder.put("c/" + file, "0,1\n0.5,1\n");
    list += fmt::format("datasets/c/{},{}\n", file, i % 2);
  }
  Config config;
  config.data = folder.put("c.csv", list);
  EXPECT_NE(error_of([&] { load_dataset(config, {}); }).find("--features"), std::string::npos);
  config.features = folder / "c";
  const Dataset dataset = load_dataset(config, {});
  ASSERT_EQ(dataset.slides.size(), 12U);
  EXPECT_EQ(dataset.slides[0].id, "s0");
  EXPECT_EQ(dataset.slides[1].label, 1);
  EXPECT_EQ(feature_file(config.features, "s3"), fs::path(folder / "c/1-tumor/s3.csv"));
  Bags bags(dataset, config.features, /*own=*/false);
  EXPECT_EQ(bags.bag(3).shape(), Shape({1, 2}));
  folder.put("c/0-normal/s3.csv", "");
  EXPECT_NE(
      error_of([&] { feature_file(config.features, "s3"); }).find("two files have features of slide s3"),
      std::string::npos);
  EXPECT_NE(error_of([&] { feature_file(config.features, "s99"); }).find("no features of slide s99"),
            std::string::npos);
}

TEST(DsmilListTest, GivesLabelsToOtherDatasets) {
  const TemporaryFolder folder;
  Dataset dataset;
  for (const char* id : {"a", "b"}) {
    dataset.slides.emplace_back();
    dataset.slides.back().id = id;
  }
  join_labels(dataset, folder.put("l.csv", "0,label\nsome/where/b.csv,1\na.csv,0\n"));
  EXPECT_EQ(dataset.slides[0].label, 0);
  EXPECT_EQ(dataset.slides[1].label, 1);
  EXPECT_TRUE(dataset.problems.empty());
}

}  // namespace
}  // namespace mt::train
