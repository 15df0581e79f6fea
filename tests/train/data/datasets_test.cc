// Splits: the paper's for Camelyon16, CLAM's files, and cases that they tear apart. DSMIL's lists of bags.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <map>
#include <set>

#include "tests/harness/error_of.h"
#include "tests/harness/temporary_folder.h"
#include "train/data/bags.h"
#include "train/data/datasets/dataset.h"
#include "train/data/datasets/registry.h"

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

TEST(SplitsTest, ThePapersSplitOnAPartialDownloadIsOneProblemThatCounts) {
  const TemporaryFolder folder;
  put_camelyon16(folder);
  for (int i = 5; i <= 160; ++i) fs::remove(folder / fmt::format("training/normal/normal_{:03}.tif", i));
  for (int i = 5; i <= 111; ++i) fs::remove(folder / fmt::format("training/tumor/tumor_{:03}.tif", i));
  for (int i = 5; i <= 130; ++i) fs::remove(folder / fmt::format("testing/images/test_{:03}.tif", i));
  Config config;
  config.data = "camelyon16";
  config.root = folder.path();
  config.splits = MT_SPLITS_DIR "/camelyon16_paper.csv";
  const Dataset dataset = load_dataset(config, {});
  ASSERT_EQ(dataset.problems.size(), 1U);
  EXPECT_NE(dataset.problems[0].find("there is no file of 387 of its 399 slides: normal_"), std::string::npos)
      << dataset.problems[0];
  EXPECT_NE(dataset.problems[0].find("and 377 more"), std::string::npos);
}

/// As first released (Tumor_001), with capital endings, masks beside the slides, semicolons in the reference.
TEST(Camelyon16Test, NamesAreReadWhateverTheirCaseAndMasksAreNoSlides) {
  const TemporaryFolder folder;
  for (const char* part :
       {"training/normal", "training/tumor", "training/lesion_annotations", "testing/images"})
    fs::create_directories(folder / part);
  folder.put("training/normal/Normal_001.TIF", "");
  folder.put("training/tumor/Tumor_001.TIFF", "");
  folder.put("training/tumor/tumor_001_mask.tif", "");
  folder.put("training/lesion_annotations/tumor_001.XML", "");
  folder.put("testing/images/Test_001.tif", "");
  folder.put("testing/images/Test_001_Mask.TIF", "");
  folder.put("testing/reference.csv", "test_001.tif;Tumor;a;b\n");
  Config config;
  config.data = "camelyon16";
  config.root = folder.path();
  config.splits = folder.put("s.csv", "train,val,test\nnormal_001,tumor_001,test_001\n");
  const Dataset dataset = load_dataset(config, {});
  EXPECT_TRUE(dataset.problems.empty()) << dataset.problems.front();
  ASSERT_EQ(dataset.slides.size(), 3U);
  EXPECT_EQ(split_of(dataset, "Normal_001"), Split::train);
  EXPECT_EQ(split_of(dataset, "Tumor_001"), Split::validation);
  EXPECT_EQ(dataset.slides[1].id, "Test_001");
  EXPECT_EQ(dataset.slides[1].label, 1);
  EXPECT_EQ(dataset.slides[2].annotation.filename(), "tumor_001.XML");
  EXPECT_TRUE(has_note(dataset, "2 files (*_mask.tif) left out"));
}

TEST(Camelyon16Test, AMissingReferenceIsNamed) {
  const TemporaryFolder folder;
  put_camelyon16(folder);
  fs::remove(folder / "testing/reference.csv");
  Config config;
  config.data = "camelyon16";
  config.root = folder.path();
  const Dataset dataset = load_dataset(config, {});
  EXPECT_TRUE(has_note(dataset, "testing/reference.csv is not there"));
  ASSERT_EQ(dataset.problems.size(), 1U);
  EXPECT_NE(dataset.problems[0].find("129 of 399 slides have no label: test_001, test_002"),
            std::string::npos)
      << dataset.problems[0];
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
  config.features = folder.path();
  config.splits = folder.put("splits_0.csv", splits);
  return load_dataset(config, {});
}

/// Where each of the eight slides is: a letter for train, val, test, '-' for none.
std::string letters(const Dataset& dataset) {
  std::string text(8, '-');
  for (const SlideRecord& slide : dataset.slides)
    text[static_cast<std::size_t>(slide.id[1] - '0')] =
        slide.split == Split::test ? 'e' : name_of(slide.split)[0];
  return text;
}

TEST(SplitsTest, AllLayoutsSayTheSame) {
  const std::string want = "ttvvtvee";  // t: train, v: validation, e: test
  for (const char* text :
       {"train,val,test\ns0,s2,s6\ns1,s3,s7\ns4,s5,\n", ",train,val,test\n0,s0,s2,s6\n1,s1,s3,s7\n2,s4,s5,\n",
        ";Train;Validation;Test\n0;s0;s2;s6\n1;s1;s3;s7\n2;s4;s5;\n",
        ",train,val,test\ns0,True,False,False\ns1,True,False,False\ns2,False,True,False\ns3,False,True,"
        "False\n"
        "s4,True,False,False\ns5,False,True,False\ns6,False,False,True\ns7,False,False,True\n",
        "slide_id,train,val,test\ns0,1,0,0\ns1,1,0,0\ns2,0,1,0\ns3,0,1,0\ns4,1,0,0\ns5,0,1,0\ns6,0,0,1\ns7,0,"
        "0,1\n",
        "slide_id,split\ns0,train\ns1,Training\ns2,val\ns3,validation\ns4,train\ns5,dev\ns6,test\ns7,"
        "TESTING\n",
        "train,val,test\ns0.svs,s2.tif,S6\na/b/s1.h5,s3.ome.tif,s7.NDPI\ns4.pt,s5,\n"}) {
    const TemporaryFolder folder;
    const Dataset dataset = eight_slides(folder, text);
    EXPECT_EQ(letters(dataset), want) << text;
    EXPECT_TRUE(dataset.problems.empty()) << text << dataset.problems.front();
  }
}

TEST(SplitsTest, IdsThatPandasMadeFloatsAreFound) {
  const TemporaryFolder folder;
  Config config;
  config.data = folder.put("n.csv", "slide_id,label\n1000,0\n1001,1\n2000,0\n2001,1\n3000,0\n3001,1\n");
  config.features = folder.path();
  config.splits = folder.put("s.csv", ",train,val,test\n0,1000.0,2000.0,3000.0\n1,1001.0,2001.0,3001.0\n");
  const Dataset dataset = load_dataset(config, {});
  EXPECT_TRUE(dataset.problems.empty());
  EXPECT_EQ(dataset.slides.size(), 6U);
  EXPECT_TRUE(has_note(dataset, "6 slides found by name without ending, decimals and case: 1000.0"));
}

TEST(SplitsTest, EveryOddNameIsInOneList) {
  const TemporaryFolder folder;
  const Dataset dataset =
      eight_slides(folder, "train,val,test\ns0,s2,s6\ns0,s3,s7\ns1,s1,x8\ns4,s5,x9\n,s2,s6\n");
  EXPECT_EQ(letters(dataset), "t-vvtvee");
  ASSERT_EQ(dataset.problems.size(), 2U);
  EXPECT_NE(dataset.problems[0].find(
                "splits_0.csv, line 4: slide s1 is in two splits, validation here and train in"),
            std::string::npos)
      << dataset.problems[0];
  EXPECT_NE(dataset.problems[1].find("there is no file of 2 of its 14 slides: x8, x9"), std::string::npos)
      << dataset.problems[1];
  EXPECT_EQ(dataset.left_out.count("s1"), 1U);
  EXPECT_TRUE(has_note(dataset, "named twice in one split: s0, s2, s6"));
  const Dataset strange = eight_slides(folder, "train,val,test\na,b,c\nd,e,f\n");
  EXPECT_NE(
      strange.problems.at(0).find("6 of its 6 slides: a, b, c, d, e, f; the slides are called s0 and so on"),
      std::string::npos);
}

TEST(SplitsTest, SlidesOfATcgaPatientStayTogether) {
  const TemporaryFolder folder;
  std::string csv = "slide_id,label\n";
  for (int i = 0; i < 64; ++i)
    csv += fmt::format("TCGA-A0-{:04}-01Z-00-DX{}.0F1E-AB,{}\n", i / 2, i % 2 + 1, i / 2 % 2);
  Config config;
  config.data = folder.put("t.csv", csv);
  config.features = folder.path();
  const Dataset dataset = load_dataset(config, {});
  std::map<std::string, std::set<Split>> splits;
  for (const SlideRecord& slide : dataset.slides) splits[slide.case_id].insert(slide.split);
  EXPECT_TRUE(splits.contains("TCGA-A0-0000"));
  for (const auto& [patient, where] : splits) EXPECT_EQ(where.size(), 1U) << patient;
  EXPECT_TRUE(has_note(dataset, "64 slides of 32 patients by TCGA's names"));
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
  EXPECT_EQ(FeatureFolder(config.features).file_of("s3"), fs::path(folder / "c/1-tumor/s3.csv"));
  const std::vector<TiledSlide> slides = without_tiles(dataset);
  Bags bags(slides, config.features, /*own=*/false);
  EXPECT_EQ(bags.bag(3).shape(), Shape({1, 2}));
  folder.put("c/0-normal/s3.csv", "");
  EXPECT_NE(error_of([&] {
              FeatureFolder(config.features).file_of("s3");
            }).find("two files have features of slide s3"),
            std::string::npos);
  EXPECT_NE(error_of([&] { FeatureFolder(config.features).file_of("s99"); }).find("no features of slide s99"),
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
  resolve_labels(dataset, "");
  EXPECT_EQ(dataset.slides[0].label, 0);
  EXPECT_EQ(dataset.slides[1].label, 1);
  EXPECT_TRUE(dataset.problems.empty());
}

/// slides.csv of `count` slides, in turn normal and tumour, in cases of two.
std::string put_csv(const TemporaryFolder& folder, int count, const char* more = "") {
  std::string text = "slide_id,path,label,case_id\n";
  for (int i = 0; i < count; ++i)
    text += fmt::format("s{:02},s{:02}.tif,{},c{}\n", i, i, i % 2, i / 2 * 2 + i % 2);
  return folder.put("slides.csv", text + more);
}

TEST(SplitsTest, ASplitThatWasDrawnStaysWhenSlidesAreAdded) {
  const TemporaryFolder folder;
  Config config;
  config.data = put_csv(folder, 24);
  const Dataset before = load_dataset(config, {});
  EXPECT_TRUE(before.split_is_drawn);
  std::map<std::string, Split> drawn;
  for (const SlideRecord& slide : before.slides) drawn[slide.case_id] = slide.split;
  config.data = put_csv(folder, 40);
  std::size_t moved = 0;
  for (const SlideRecord& slide : load_dataset(config, {}).slides)
    moved += drawn.contains(slide.case_id) && drawn.at(slide.case_id) != slide.split ? 1 : 0;
  EXPECT_GT(moved, 0U);  // so it is the list of before that holds them
  const Dataset after = load_dataset(config, {}, drawn);
  EXPECT_EQ(after.slides.size(), 40U);
  for (const SlideRecord& slide : before.slides)
    EXPECT_EQ(split_of(after, slide.id), slide.split) << slide.id;
}

TEST(SplitsTest, AForeignPhantomBesideACsvIsNotAsked) {
  const TemporaryFolder folder;
  fs::create_directories(folder / "phantom");
  folder.put("phantom/splits.csv", "train,val,test\ns00,s02,s04\ns01,s03,s05\n");
  Config config;
  config.data = folder.put("a.csv",
                           "slide_id,path,label,split\ns00,x,0,test\ns01,x,1,test\ns02,x,0,val\ns03,x,1,val\n"
                           "s04,x,0,train\ns05,x,1,train\n");
  config.root = folder.path();
  EXPECT_EQ(split_of(load_dataset(config, {}), "s00"), Split::test);
  const fs::path here = fs::current_path();
  fs::current_path(folder.path());
  config.root.clear();
  const Dataset dataset = load_dataset(config, {});
  fs::current_path(here);
  EXPECT_EQ(split_of(dataset, "s04"), Split::train);
  EXPECT_FALSE(dataset.split_is_drawn);
}

TEST(SlideIdTest, NamesThatAreNoFileNameAreProblemsAndTheOthersLoad) {
  const TemporaryFolder folder;
  Config config;
  const std::string long_id(201, 'x');
  config.data =
      put_csv(folder, 16,
              ("../../evil,x.tif,0,e\n/abs,x.tif,0,e\na/b,x.tif,0,e\n..,x.tif,0,e\n.hidden,x.tif,0,e\n"
               "__metadata__,x.tif,0,e\n" +
               long_id +
               ",x.tif,0,e\n\"two\nlines\",x.tif,0,e\n"
               "esc\x1b[31m,x.tif,0,e\n")
                  .c_str());
  const Dataset dataset = load_dataset(config, {});
  EXPECT_EQ(dataset.slides.size(), 16U);
  EXPECT_EQ(dataset.problems.size(), 9U);
  for (const std::string& problem : dataset.problems) {
    EXPECT_NE(problem.find("give the slide another name"), std::string::npos) << problem;
    EXPECT_EQ(problem.find('\n'), std::string::npos) << problem;
    EXPECT_EQ(problem.find('\x1b'), std::string::npos) << problem;
  }
}

TEST(SlideIdTest, KnowsUtf8) {
  for (const char* good : {"S00", "a b", "a\"b", "<b>", "*", "Gewebe-\xc3\xbc", "\xe8\x85\xab\xe7\x98\xa4",
                           "\xf0\x9f\x94\xac", "-x"})
    EXPECT_EQ(slide_id_problem(good), "") << good;
  for (const char* bad : {"caf\xe9", "\xc0\xaf", "\xe0\x80\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xff",
                          "\xc3", "a\xc2\x85", "\x7f"})
    EXPECT_NE(slide_id_problem(bad), "") << bad;
}

TEST(DatasetRegistryTest, EachKindIsFoundByWhatDataSays) {
  const TemporaryFolder folder;
  Config config;
  config.root = folder.path();
  for (const char* data : {"phantom", "camelyon16", "slides.csv", "a.b/S.CSV", "slides.tsv", "slides.txt"}) {
    config.data = data;
    int named = 0;
    for (const DatasetKind& kind : dataset_kinds()) named += kind.is_named_by(data) ? 1 : 0;
    EXPECT_EQ(named, 1) << data;
    EXPECT_FALSE(dataset_kind(config).describe(config).empty()) << data;
  }
  for (const char* data : {"phantoms", "Camelyon16", "slides.xlsx", "slides", "slides.csv.gz", ""}) {
    config.data = data;
    const std::string error = error_of([&] { dataset_kind(config); });
    EXPECT_NE(error.find(fmt::format("--data {}: ", data)), std::string::npos) << error;
  }
  for (const DatasetKind& kind : dataset_kinds())
    EXPECT_NE(error_of([&] { dataset_kind(config); }).find(kind.name), std::string::npos) << kind.name;
  config.data = folder.path();
  EXPECT_NE(error_of([&] { dataset_kind(config); }).find("is a folder"), std::string::npos);
  config.data = "camelyon16";
  config.root.clear();
  EXPECT_NE(error_of([&] { dataset_kind(config); }).find("needs --root"), std::string::npos);
}

}  // namespace
}  // namespace mt::train
