// What a run was made from, and whether it still is.

#include "train/run/manifest.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/harness/error_of.h"
#include "tests/harness/temporary_folder.h"

namespace mt::train {
namespace {

namespace fs = std::filesystem;

SlideRecord record(const TemporaryFolder& folder, const std::string& id, int label, Split split) {
  SlideRecord slide;
  slide.id = slide.case_id = id;
  slide.label = label;
  slide.split = split;
  slide.path = folder.put(id + ".tif", "pixels of " + id);
  if (label == 1) slide.annotation = folder.put(id + ".xml", "outlines of " + id);
  return slide;
}

Dataset small_dataset(const TemporaryFolder& folder) {
  Dataset dataset;
  dataset.slides = {record(folder, "a", 0, Split::train), record(folder, "b", 1, Split::train),
                    record(folder, "c", 0, Split::validation), record(folder, "d", 1, Split::test)};
  dataset.tables = {{"data", folder.put("slides.csv", "the table")}};
  return dataset;
}

std::string changes(const Manifest& before, const Manifest& now) {
  const ManifestChanges found = changes_since(before, now);
  return found.empty() ? "none" : found.str();
}

TEST(FingerprintTest, SmallFilesAreHashedWhole) {
  const TemporaryFolder folder;
  const std::string bytes(1 << 20, 'x');
  const Fingerprint before = fingerprint_of(folder.put("a", bytes), HashedPart::ends);
  EXPECT_EQ(before.bytes, bytes.size());
  EXPECT_EQ(before.path, fs::canonical(folder / "a").string());
  for (const std::size_t at : {std::size_t{0}, bytes.size() / 2, bytes.size() - 1}) {
    std::string other = bytes;
    other[at] = 'y';
    EXPECT_FALSE(before.has_content_of(fingerprint_of(folder.put("b", other), HashedPart::ends))) << at;
  }
  EXPECT_TRUE(before.has_content_of(fingerprint_of(folder.put("b", bytes), HashedPart::ends)));
}

TEST(FingerprintTest, OfALargeSlideOnlyTheEndsAreRead) {
  const TemporaryFolder folder;
  const std::string path = folder.put("a", "begin");
  fs::resize_file(path,
                  uint64_t{1} << 40);  // a terabyte without a block on disk: reading it would take an hour
  const Fingerprint before = fingerprint_of(path, HashedPart::ends);
  EXPECT_TRUE(before.is_known());
  for (const uint64_t at : {uint64_t{4}, (uint64_t{1} << 40) - 1}) {
    std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(static_cast<std::streamoff>(at));
    file.put('!');
    file.close();
    EXPECT_FALSE(before.has_content_of(fingerprint_of(path, HashedPart::ends))) << at;
  }
}

TEST(FingerprintTest, WhatCannotBeReadIsNotKnown) {
  const TemporaryFolder folder;
  EXPECT_FALSE(fingerprint_of({}, HashedPart::whole).is_known());
  EXPECT_TRUE(fingerprint_of({}, HashedPart::whole).path.empty());
  EXPECT_FALSE(fingerprint_of(folder / "missing", HashedPart::whole).is_known());
  EXPECT_FALSE(fingerprint_of(folder.path(), HashedPart::whole).is_known());
  EXPECT_TRUE(fingerprint_of(folder.put("empty", ""), HashedPart::whole).is_known());
}

TEST(ManifestTest, ComesBackFromItsFile) {
  const TemporaryFolder folder;
  Dataset dataset = small_dataset(folder);
  dataset.slides[0].case_id = "a case, \"quoted\"";
  Manifest manifest = take_manifest({}, dataset);
  manifest.slides[2].left_out = "c.tif: is broken";
  manifest.split_is_drawn = true;
  write_manifest(folder / "manifest.json", manifest);
  const Manifest back = read_manifest(folder / "manifest.json");
  EXPECT_EQ(changes(manifest, back), "none");
  EXPECT_EQ(back.find("a")->case_id, "a case, \"quoted\"");
  EXPECT_EQ(back.find("b")->annotation.path, fs::canonical(folder / "b.xml").string());
  EXPECT_EQ(back.find("c")->left_out, "c.tif: is broken");
  EXPECT_EQ(back.find("d")->split, Split::test);
  EXPECT_EQ(back.find("e"), nullptr);
  EXPECT_EQ(split_csv(back),
            "slide_id,case_id,label,split\na,\"a case, \"\"quoted\"\"\",0,train\nb,b,1,train\nd,d,1,test\n");
  EXPECT_EQ(drawn_splits(back).at("c"), Split::validation);
}

TEST(ManifestTest, DamageNamesTheFileAndWhatToDo) {
  const TemporaryFolder folder;
  write_manifest(folder / "m.json", take_manifest({}, small_dataset(folder)));
  std::fstream file(folder / "m.json", std::ios::binary | std::ios::in | std::ios::out);
  file.seekp(300);
  file.put('\x7f');
  file.close();
  const std::string error = error_of([&] { read_manifest(folder / "m.json"); });
  EXPECT_NE(error.find("m.json: is damaged"), std::string::npos) << error;
  EXPECT_NE(error.find("delete it"), std::string::npos) << error;
}

TEST(ManifestTest, SpellingTimesAndPlacesDoNotCount) {
  const TemporaryFolder folder;
  const TemporaryFolder elsewhere;
  const Manifest before = take_manifest({}, small_dataset(folder));
  Dataset dataset = small_dataset(elsewhere);
  for (SlideRecord& slide : dataset.slides) {
    fs::last_write_time(slide.path, fs::file_time_type::clock::now() - std::chrono::hours(99));
    fs::create_symlink(slide.path, elsewhere / (slide.id + " #\"'link"));
    slide.path = elsewhere / (slide.id + " #\"'link");
  }
  std::swap(dataset.slides[0], dataset.slides[3]);  // rows in another order
  EXPECT_EQ(changes(before, take_manifest({}, dataset)), "none");
}

TEST(ManifestTest, EachKindOfChangeIsNamed) {
  const TemporaryFolder folder;
  const Dataset dataset = small_dataset(folder);
  Config config;
  config.weights = folder.put("w.pth", "weights");
  const Manifest before = take_manifest(config, dataset);
  const auto after = [&](auto change) {
    Dataset changed = dataset;
    change(changed);
    return changes(before, take_manifest(config, changed));
  };
  const std::string untold = "what it is made from has changed since this run began: ";
  EXPECT_EQ(after([](Dataset&) {}), "none");
  EXPECT_EQ(after([](Dataset& d) { d.slides[0].label = 1; }), untold + "1 label (a)");
  EXPECT_EQ(after([](Dataset& d) { d.slides[1].split = d.slides[0].split = Split::test; }),
            untold + "2 splits (a, b)");
  EXPECT_EQ(after([](Dataset& d) { d.slides[1].case_id = "z"; }), untold + "1 case (b)");
  EXPECT_EQ(after([](Dataset& d) { d.slides.pop_back(); }), untold + "1 slide less (d)");
  EXPECT_EQ(after([&](Dataset& d) { d.slides.push_back(record(folder, "e", 0, Split::test)); }),
            untold + "1 slide more (e)");
  EXPECT_EQ(after([](Dataset& d) { d.slides[1].annotation.clear(); }), untold + "1 annotation (b)");
  EXPECT_EQ(after([](Dataset& d) { d.slides[1].annotation_is_complete = false; }),
            untold + "1 annotation (b)");
  EXPECT_EQ(after([&](Dataset& d) { d.slides[0].path = d.slides[1].path; }), untold + "1 slide replaced (a)");
  EXPECT_EQ(after([&](Dataset& d) {
              d.tables[0].second = folder.put("more.csv", "another table");
              d.slides[0].label = 1;
              d.slides[2].path = d.slides[1].path;
            }),
            "more.csv has changed since this run began: 1 label (a), 1 slide replaced (c)");
  EXPECT_EQ(after([&](Dataset& d) { d.tables[0].second = folder.put("more.csv", "# only a comment"); }),
            "none");
  folder.put("w.pth", "other weights");
  EXPECT_EQ(after([](Dataset&) {}), untold + "1 file of weights (w.pth)");
}

TEST(ManifestTest, FeatureFilesCountWhereTheRunReadsThemAndSlidesDoNot) {
  const TemporaryFolder folder;
  const Dataset dataset = small_dataset(folder);
  Config config;
  config.features = folder.path();
  for (const SlideRecord& slide : dataset.slides) folder.put(slide.id + ".pt", "features of " + slide.id);
  const Manifest before = take_manifest(config, dataset);
  folder.put("a.tif", "other pixels");
  fs::remove(folder / "b.tif");
  EXPECT_EQ(changes(before, take_manifest(config, dataset)), "none");
  folder.put("c.pt", "other features");
  EXPECT_EQ(changes(before, take_manifest(config, dataset)),
            "what it is made from has changed since this run began: 1 feature file (c)");
}

TEST(ManifestTest, AChangeInTheMiddleOfALargeFeatureFileIsNamed) {
  const TemporaryFolder folder;
  const Dataset dataset = small_dataset(folder);
  Config config;
  config.features = folder / "features";
  fs::create_directory(folder / "features");
  std::string bytes(12 << 20, 'x');
  for (const SlideRecord& slide : dataset.slides)
    std::ofstream(folder / ("features/" + slide.id + ".h5")) << bytes;
  const Manifest before = take_manifest(config, dataset);
  bytes[bytes.size() / 2] = 'y';
  std::ofstream(folder / "features/b.h5") << bytes;
  EXPECT_NE(changes(before, take_manifest(config, dataset)).find("1 feature file (b)"), std::string::npos);
}

TEST(ManifestTest, SlidesThatCannotBeReadNowAndSlidesThatWereLeftOutAreNoChange) {
  const TemporaryFolder folder;
  Dataset dataset = small_dataset(folder);
  Manifest before = take_manifest({}, dataset);
  before.slides[0].left_out = "a.tif: was broken";
  folder.put("a.tif", "mended pixels");
  fs::remove(folder / "c.tif");
  EXPECT_EQ(changes(before, take_manifest({}, dataset)), "none");
  dataset.slides.erase(dataset.slides.begin());
  EXPECT_EQ(changes(before, take_manifest({}, dataset)), "none");
}

TEST(ManifestTest, SlidesThatWereLeftOutWhenTheyWereListedAreKeptInMind) {
  const TemporaryFolder folder;
  Dataset dataset = small_dataset(folder);
  dataset.slides.erase(dataset.slides.begin());
  dataset.left_out["a"] = "a.tif: is not there";
  const Manifest before = take_manifest({}, dataset);
  EXPECT_EQ(before.find("a")->left_out, "a.tif: is not there");
  EXPECT_EQ(changes(before, take_manifest({}, small_dataset(folder))), "none");  // it is there now
  EXPECT_EQ(changes(take_manifest({}, small_dataset(folder)), before),
            "none");  // it was there: the problem says so
  EXPECT_EQ(split_csv(before).find("a,"), std::string::npos);
}

TEST(ManifestTest, TilesBelongToSlideLabelAnnotationAndGrid) {
  const TemporaryFolder folder;
  const SlideInputs inputs = take_manifest({}, small_dataset(folder)).slides[1];
  const Config config;
  const std::string key = tiles_key(inputs, config);
  SlideInputs other = inputs;
  other.slide.path = other.annotation.path = "elsewhere";
  other.slide.modified = 1;
  other.split = Split::test;
  EXPECT_EQ(tiles_key(other, config), key);
  other = inputs;
  other.slide.sha256 = "0";
  EXPECT_NE(tiles_key(other, config), key);
  other = inputs;
  other.annotation.sha256 = "0";
  EXPECT_NE(tiles_key(other, config), key);
  other = inputs;
  other.label = 0;
  EXPECT_NE(tiles_key(other, config), key);
  Config coarse;
  coarse.mpp = "2";
  EXPECT_NE(tiles_key(inputs, coarse), key);
}

}  // namespace
}  // namespace mt::train
