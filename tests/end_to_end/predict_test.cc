// predict as people use it: beside their annotations, on folders, tables and features, killed and started
// again.

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "tensor/io/csv.h"
#include "tensor/rng.h"
#include "tensor/sanitizers.h"
#include "tests/end_to_end/programs.h"
#include "train/feature_files/feature_files.h"
#include "train/method/mil_file.h"
#include "wsi/annotation.h"

namespace mt::end_to_end {
namespace {

using Json = nlohmann::json;

const std::vector<std::string> kEndings = {".h5", "_heatmap.png", "_regions.geojson", "_regions.xml"};

/// A run that is quick to make.
const std::string& quick_run() {
  static const TemporaryFolder folder;
  static const std::string run = [] {
    const auto result = train(tiny_run(folder / "run", {"--method", "mil", "--pretrain", "none"}));
    EXPECT_EQ(result.exit_code, 0) << result.str();
    return folder / "run";
  }();
  return run;
}

/// The quick run again, but for its threshold.
std::string run_with_threshold(const TemporaryFolder& folder, double threshold) {
  const std::string run = folder / fmt::format("run_{}", threshold);
  fs::copy(quick_run(), run, fs::copy_options::recursive);
  for (const auto& entry : fs::recursive_directory_iterator(run + "/rounds")) {
    if (entry.path().filename() != "mil.safetensors") continue;
    const train::TrainedMil mil = train::load_mil(entry.path(), Device::cpu);
    train::save_mil(entry.path(), *mil.model, MilKind::dsmil, threshold);
  }
  return run;
}

/// A run that was trained on the features of the quick one, which are copied into `folder`/features.
std::string features_run(const TemporaryFolder& folder) {
  fs::copy(quick_run() + "/features/initial", folder / "features");
  const auto result = train({"--data", write_csv(folder, csv_slides(2)), "--preset", "tiny", "--method",
                             "mil", "--features", folder / "features", "--run", folder / "uni"});
  EXPECT_EQ(result.exit_code, 0) << result.str();
  return folder / "uni";
}

std::string test_slide(int number) {
  return (phantom_set() / fmt::format("testing/images/test_{:03}.tif", number)).string();
}

Json json_in(const std::string& out) {
  return Json::parse(text_of(out + "/predictions.json"));
}

/// Content by name.
std::map<std::string, std::string> files_in(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::directory_iterator(folder))
    files[entry.path().filename().string()] = text_of(entry.path());
  return files;
}

TEST(Predict, FilesThatItDidNotWriteStay) {
  const TemporaryFolder folder;
  const std::string out = folder / "slides";
  fs::create_directories(out);
  fs::copy_file(test_slide(1), out + "/test_001.tif");
  // What ASAP and QuPath users keep beside a slide is not in its way.
  folder.put("slides/test_001.xml", "<mine/>");
  folder.put("slides/test_001.geojson", "{}");
  const Arguments beside{"--run", quick_run(), "--out", out, out + "/test_001.tif"};
  const auto first = predict(beside);
  ASSERT_EQ(first.exit_code, 0) << first.str();
  EXPECT_EQ(text_of(out + "/test_001.xml"), "<mine/>");
  EXPECT_EQ(text_of(out + "/test_001.geojson"), "{}");
  const auto written = files_in(out);

  // A file of each name that somebody wrote or changed: named before anything is computed, and left alone.
  std::vector<std::string> names = {"predictions.csv", "predictions.json"};
  for (const std::string& ending : kEndings) names.push_back("test_001" + ending);
  for (const std::string& name : names) {
    const std::string changed = written.at(name) + " ";
    folder.put("slides/" + name, changed);
    expect_error(predict(beside), 1, {name, "--overwrite", "--out"});
    auto expected = written;
    expected[name] = changed;
    EXPECT_EQ(files_in(out), expected) << name;
    Arguments overwrite = beside;
    overwrite.insert(overwrite.begin(), "--overwrite");
    const auto replaced = predict(overwrite);
    EXPECT_EQ(replaced.exit_code, 0) << replaced.str();
    EXPECT_EQ(files_in(out), written) << name;

    const TemporaryFolder fresh;
    fresh.put(name, "mine");
    expect_error(predict({"--run", quick_run(), "--out", fresh.path(), test_slide(1)}), 1, {name});
    EXPECT_EQ(files_in(fresh.path()), (std::map<std::string, std::string>{{name, "mine"}}));
  }
  // A link is a file of somebody, too, wherever it leads.
  const TemporaryFolder linked;
  fs::create_symlink(linked.put("mine.xml", "<mine/>"), linked / "test_001_regions.xml");
  expect_error(predict({"--run", quick_run(), "--out", linked.path(), test_slide(1)}), 1,
               {"test_001_regions.xml"});
  EXPECT_EQ(text_of(linked / "mine.xml"), "<mine/>");
}

TEST(Predict, WhatIsThereIsKeptAndWhatIsGoneIsMadeAnew) {
  const TemporaryFolder folder;
  const std::string out = folder / "out";
  const Arguments both{"--run", quick_run(), "--out", out, test_slide(1), test_slide(2)};
  const auto first = predict(both);
  ASSERT_EQ(first.exit_code, 0) << first.str();
  const auto written = files_in(out);
  EXPECT_EQ(written.size(), 2 + 2 * kEndings.size());
  const auto time = fs::last_write_time(out + "/test_002.h5");
  for (const std::string& ending : kEndings) {
    fs::remove(out + "/test_001" + ending);
    const auto again = predict(both);
    EXPECT_EQ(again.exit_code, 0) << again.str();
    EXPECT_EQ(files_in(out), written);
    EXPECT_NE(again.out.find("1 of them as before"), std::string::npos) << again.out;
  }
  EXPECT_EQ(fs::last_write_time(out + "/test_002.h5"), time);
  // The same slide by another path is the same; more slides join those that are there.
  fs::create_symlink(test_slide(1), folder / "test_001.tif");
  const auto linked = predict({"--run", quick_run(), "--out", out, folder / "test_001.tif", test_slide(3)});
  EXPECT_EQ(linked.exit_code, 0) << linked.str();
  EXPECT_EQ(json_in(out).at("slides").size(), 3U);
  EXPECT_EQ(text_of(out + "/test_001.h5"), written.at("test_001.h5"));
}

TEST(Predict, SlidesOfOneNameAreRefusedBeforeAnythingIsComputed) {
  const TemporaryFolder folder;
  for (const char* name : {"a", "b"}) fs::create_directories(folder / name);
  fs::copy_file(test_slide(1), folder / "a/s.tif");
  fs::copy_file(test_slide(2), folder / "b/s.tif");
  const std::string out = folder / "out";
  expect_error(predict({"--run", quick_run(), "--out", out, folder / "a/s.tif", folder / "b/s.tif"}), 2,
               {"two slides have one name", "a/s.tif", "b/s.tif"});
  expect_error(predict({"--run", quick_run(), "--out", out, folder.path()}), 2, {"two slides have one name"});
  EXPECT_FALSE(fs::exists(out));
  // One slide given twice is one; another one of its name comes too late.
  const auto twice = predict({"--run", quick_run(), "--out", out, folder / "a/s.tif", folder / "a"});
  ASSERT_EQ(twice.exit_code, 0) << twice.str();
  const auto written = files_in(out);
  expect_error(predict({"--run", quick_run(), "--out", out, folder / "b/s.tif"}), 1,
               {"slide s is there already", "a/s.tif", "b/s.tif"});
  EXPECT_EQ(files_in(out), written);
}

TEST(Predict, EverySlideIsOnItsOwn) {
  const TemporaryFolder folder;
  const std::string bad = folder.put("bad.tif", "this is no slide");
  const std::string torn = folder / "torn.tif";
  fs::copy_file(test_slide(4), torn);
  fs::resize_file(torn, fs::file_size(torn) / 2);
  const auto together = predict({"--run", quick_run(), "--out", folder / "all", test_slide(1), bad,
                                 test_slide(2), torn, folder / "absent.tif", test_slide(3)});
  EXPECT_EQ(together.exit_code, 1) << together.str();
  EXPECT_EQ(std::count(together.err.begin(), together.err.end(), '\n'), 3) << together.err;
  const Json json = json_in(folder / "all");
  std::vector<std::string> failed;
  for (const Json& slide : json.at("failed")) {
    failed.push_back(slide.at("slide_id"));
    EXPECT_NE(together.err.find(slide.at("reason").get<std::string>()), std::string::npos) << slide;
  }
  EXPECT_EQ(failed, (std::vector<std::string>{"absent", "bad", "torn"}));
  const CsvTable csv = read_csv(folder / "all/predictions.csv");
  ASSERT_EQ(csv.rows().size(), 6U);
  for (const CsvRow& row : csv.rows()) {
    const bool is_good = row.fields[csv.column("slide_id")].starts_with("test_");
    EXPECT_EQ(row.fields[csv.column("score")].empty(), !is_good);
    EXPECT_EQ(row.fields[csv.column("error")].empty(), is_good);
  }
  // Alone, in another order and with another number of threads: the same to the last bit.
  for (const int number : {3, 1, 2}) {
    ProgramOptions one_thread;
    one_thread.environment = {{"OMP_NUM_THREADS", number == 3 ? "1" : "3"}};
    const std::string out = folder / fmt::format("alone_{}", number);
    const auto alone = predict({"--run", quick_run(), "--out", out, test_slide(number)}, one_thread);
    ASSERT_EQ(alone.exit_code, 0) << alone.str();
    for (const std::string& ending : kEndings) {
      const std::string name = fmt::format("/test_{:03}{}", number, ending);
      EXPECT_EQ(text_of(out + name), text_of(folder / ("all" + name))) << name;
    }
    const Json of_all = json.at("slides").at(static_cast<std::size_t>(number - 1));
    EXPECT_EQ(json_in(out).at("slides").at(0), of_all);
    EXPECT_EQ(of_all.at("path"), test_slide(number));
  }
}

TEST(Predict, RegionsAreTumourOnlyOnASlideThatIsCalledSo) {
  const TemporaryFolder folder;
  for (const bool positive : {true, false}) {
    const std::string run = run_with_threshold(folder, positive ? 0 : 1.5);
    const std::string out = folder / (positive ? "positive" : "negative");
    const auto result = predict({"--run", run, "--out", out, "--region-score", "0.1", test_slide(1)});
    ASSERT_EQ(result.exit_code, 0) << result.str();
    const Json slide = json_in(out).at("slides").at(0);
    EXPECT_EQ(slide.at("positive"), positive);
    EXPECT_EQ(slide.at("call"), positive ? "tumour" : "normal");
    EXPECT_NE(result.out.find(positive ? " tumour " : " normal "), std::string::npos) << result.out;
    ASSERT_GE(slide.at("regions").get<int>(), 1) << slide;
    EXPECT_EQ(slide.at("region_class"), positive ? "Tumor" : "Suspicious");
    for (const std::string& ending : {std::string("_regions.geojson"), std::string("_regions.xml")}) {
      const std::string text = text_of(out + "/test_001" + ending);
      EXPECT_EQ(text.find("Tumor") != std::string::npos, positive) << text;
      EXPECT_EQ(text.find("Suspicious") != std::string::npos, !positive) << text;
      const std::string file = out + "/test_001" + ending;
      if (positive) {
        EXPECT_TRUE(wsi::read_annotations(file).has_tumour());
      } else {
        EXPECT_THROW(wsi::read_annotations(file), Error);  // never taken for tumour by mistake
      }
    }
  }
}

TEST(Predict, FoldersAndTablesAreReadAsInTraining) {
  const TemporaryFolder folder;
  fs::create_directories(folder / "slides/batch");
  for (const int number : {1, 2})
    fs::copy_file(test_slide(number), folder / fmt::format("slides/batch/test_{:03}.TIF", number));
  folder.put("slides/notes.txt", "x");
  folder.put("slides/test_001_mask.tif", "x");
  folder.put("slides/._test_002.tif", "x");
  const auto whole =
      predict({"--run", quick_run(), "--out", folder / "slides/predictions", folder / "slides"});
  ASSERT_EQ(whole.exit_code, 0) << whole.str();
  EXPECT_EQ(json_in(folder / "slides/predictions").at("slides").size(), 2U);
  const auto again =
      predict({"--run", quick_run(), "--out", folder / "slides/predictions", folder / "slides"});
  EXPECT_EQ(again.exit_code, 0) << again.str();

  const std::string table =
      folder.put("t.csv", "Slide ID;label;split;mpp\ntest_001;?;nowhere;\ntest_002;;;0.25\nghost;1;test;\n");
  const auto listed =
      predict({"--run", quick_run(), "--out", folder / "t", "--root", folder / "slides", table});
  EXPECT_EQ(listed.exit_code, 1) << listed.str();
  EXPECT_NE(listed.err.find("t.csv, line 4: of slide ghost there is no file in"), std::string::npos);
  const Json json = json_in(folder / "t");
  ASSERT_EQ(json.at("slides").size(), 2U);
  EXPECT_EQ(json.at("failed").at(0).at("slide_id"), "ghost");
  EXPECT_EQ(json.at("slides").at(0).at("score"),
            json_in(folder / "slides/predictions").at("slides").at(0).at("score"));
  EXPECT_EQ(json.at("slides").at(1).at("level0_mpp"), 0.25);

  fs::create_directories(folder / "empty");
  expect_error(predict({"--run", quick_run(), "--out", folder / "o", folder / "empty"}), 1,
               {"empty: no slides in it"});
  expect_error(predict({"--run", quick_run(), "--out", folder / "o", folder.put("none.csv", "slide_id\n")}),
               1, {"none.csv: no slides in it"});
  expect_error(predict({"--run", quick_run(), "--out", folder / "o"}), 2, {"INPUT is required"});
  expect_error(predict({"--run", quick_run(), "--out", folder / "o", folder / "typo/"}), 1,
               {"typo/: there is no such file or folder"});
  EXPECT_FALSE(fs::exists(folder / "o"));
}

TEST(Predict, ARunOfFeaturesTakesFeaturesAndNoSlides) {
  const TemporaryFolder folder;
  const std::string run = features_run(folder);
  const auto whole = predict({"--run", run, "--out", folder / "out", "--features", folder / "features"});
  ASSERT_EQ(whole.exit_code, 0) << whole.str();
  std::map<std::string, Json> slides;
  const Json predictions = json_in(folder / "out");
  for (const Json& slide : predictions.at("slides")) slides[slide.at("slide_id")] = slide;
  const Json result = Json::parse(text_of(run + "/result.json"));
  for (const Json& slide : result.at("variants").at(0).at("test_slides")) {
    const Json& mine = slides.at(slide.at("slide_id"));
    EXPECT_EQ(mine.at("score"), slide.at("score"));
    EXPECT_EQ(mine.at("patches"), train::read_features(mine.at("path")).features.dim(0));
    EXPECT_FALSE(mine.at("level0_mpp").is_null());  // its coordinates say so
  }
  EXPECT_TRUE(fs::exists(folder / "out/test_001_regions.geojson"));

  // The same by files, by a table, and on the position of slides.
  const std::string one = folder / "features/test_001.h5";
  const std::string table = folder.put("t.csv", "slide_id\ntest_001\nghost\n");
  int number = 0;
  for (const Arguments& given :
       {Arguments{one}, Arguments{"--features", one}, Arguments{"--features", folder / "features", table}}) {
    const std::string out = folder / fmt::format("by_{}", number);
    Arguments arguments{"--run", run, "--out", out};
    arguments.insert(arguments.end(), given.begin(), given.end());
    const auto said = predict(arguments);
    EXPECT_EQ(said.exit_code, number == 2 ? 1 : 0) << said.str();
    EXPECT_EQ(json_in(out).at("slides").at(0), slides.at("test_001"));
    EXPECT_EQ(text_of(out + "/test_001.h5"), text_of(folder / "out/test_001.h5"));
    if (number++ < 2) continue;
    EXPECT_NE(said.err.find("no features of slide ghost"), std::string::npos) << said.err;
  }
  // A folder of results in the folder of features is no input.
  for (int i = 0; i < 2; ++i) {
    const auto inside = predict({"--run", run, "--out", folder / "features/out", folder / "features"});
    EXPECT_EQ(inside.exit_code, 0) << inside.str();
  }
  EXPECT_EQ(json_in(folder / "features/out").at("slides").size(), slides.size());

  // Features of another encoder, without coordinates, damaged.
  const std::string narrow = folder.put("narrow.csv", "a,b\n1,2\n");
  const std::string torn = folder.put("torn.h5", text_of(one).substr(0, 3000));
  const auto bad = predict({"--run", run, "--out", folder / "bad", narrow, torn, one});
  EXPECT_EQ(bad.exit_code, 1);
  for (const char* part :
       {"narrow.csv: features of width 2, and ", "was trained on features of width 64", "torn.h5"})
    EXPECT_NE(bad.err.find(part), std::string::npos) << bad.err;
  EXPECT_EQ(json_in(folder / "bad").at("slides").size(), 1U);
  train::SlideFeatures bare = train::read_features(one);
  bare.coords = {};
  train::write_features(folder / "bare.h5", bare);
  const auto without = predict({"--run", run, "--out", folder / "bare", folder / "bare.h5"});
  ASSERT_EQ(without.exit_code, 0) << without.str();
  EXPECT_EQ(json_in(folder / "bare").at("slides").at(0).at("score"), slides.at("test_001").at("score"));
  EXPECT_FALSE(fs::exists(folder / "bare/bare_regions.xml"));
  EXPECT_NE(without.out.find("no heatmap"), std::string::npos) << without.out;
  // Patches that lie nowhere on a slide are not drawn, whatever their file says.
  int odd = 0;
  for (const auto& [x, patch] : std::vector<std::pair<int64_t, int64_t>>{
           {-1, 256}, {int64_t{1} << 60, 256}, {0, int64_t{1} << 60}, {0, 0}, {5, 1'000'000'000}}) {
    train::SlideFeatures lost = train::read_features(one);
    lost.coords.span<int64_t>()[0] = x;
    lost.attributes.patch_size_level0 = patch;
    const std::string id = fmt::format("odd_{}", odd++);
    train::write_features(folder / (id + ".h5"), lost);
    const auto said = predict({"--run", run, "--out", folder / "odd", folder / (id + ".h5")});
    EXPECT_EQ(said.exit_code, 0) << said.str();
    EXPECT_EQ(fs::exists(folder / ("odd/" + id + "_heatmap.png")), x == 5) << id;
  }

  // What is not for this run.
  const std::string slide = test_slide(1);
  for (const Arguments& given : {Arguments{slide}, Arguments{fs::path(slide).parent_path().string()},
                                 Arguments{"--features", slide}}) {
    Arguments arguments{"--run", run, "--out", folder / "never"};
    arguments.insert(arguments.end(), given.begin(), given.end());
    expect_error(predict(arguments), 2, {"is a slide, and", "was trained on features", "--features"});
  }
  expect_error(predict({"--run", run, "--out", folder / "never", table}), 2, {"names slides", "--features"});
  for (const Arguments& given : {Arguments{one}, Arguments{"--features", one, slide}}) {
    Arguments arguments{"--run", quick_run(), "--out", folder / "never"};
    arguments.insert(arguments.end(), given.begin(), given.end());
    expect_error(predict(arguments), 2, {"this run embeds slides itself"});
  }
  EXPECT_FALSE(fs::exists(folder / "never"));
}

TEST(Predict, EveryBagModelGivesItsScores) {
  const TemporaryFolder folder;
  for (const char* kind : {"abmil", "mean", "max"}) {
    const std::string run = folder / kind;
    const auto trained = train(tiny_run(run, {"--method", "mil", "--pretrain", "none", "--mil", kind}));
    ASSERT_EQ(trained.exit_code, 0) << trained.str();
    const std::string out = run + "_predictions";
    const auto result = predict({"--run", run, "--out", out, fs::path(test_slide(1)).parent_path()});
    ASSERT_EQ(result.exit_code, 0) << result.str();
    const Json predicted = json_in(out);
    const Json trained_on = Json::parse(text_of(run + "/result.json"));
    for (const Json& slide : trained_on.at("variants").at(0).at("test_slides")) {
      const auto mine = std::find_if(predicted.at("slides").begin(), predicted.at("slides").end(),
                                     [&](const Json& s) { return s.at("slide_id") == slide.at("slide_id"); });
      ASSERT_NE(mine, predicted.at("slides").end());
      EXPECT_EQ(mine->at("score"), slide.at("score"));  // to the last bit, as in training
    }
    std::vector<std::string> names;
    for (const auto& [name, values] : train::read_features(out + "/test_001.h5").instances) {
      names.push_back(name);
      if (name != "attention") continue;
      double sum = 0;
      for (const float value : values.span<float>()) sum += static_cast<double>(value);
      EXPECT_NEAR(sum, 1, 1e-5);
    }
    EXPECT_EQ(names.size(), std::string(kind) == "abmil" ? 2U : 1U);
  }
}

TEST(Predict, AFolderHoldsThePredictionsOfOneModel) {
  const TemporaryFolder folder;
  const std::string other = folder / "other";
  ASSERT_EQ(train(tiny_run(other, {"--method", "mil", "--pretrain", "none", "--seed", "9"})).exit_code, 0);
  const std::string out = folder / "out";
  ASSERT_EQ(predict({"--run", quick_run(), "--out", out, test_slide(1), test_slide(2)}).exit_code, 0);
  const auto written = files_in(out);
  expect_error(predict({"--run", other, "--out", out, test_slide(1)}), 1,
               {"predictions of another model", "--out", "--overwrite"});
  EXPECT_EQ(files_in(out), written);
  ASSERT_EQ(predict({"--run", other, "--out", out, "--overwrite", test_slide(1)}).exit_code, 0);
  EXPECT_FALSE(fs::exists(out + "/test_002.h5"));  // nothing of the other model is left
  ASSERT_EQ(predict({"--run", other, "--out", folder / "fresh", test_slide(1)}).exit_code, 0);
  EXPECT_EQ(files_in(out), files_in(folder / "fresh"));

  // Another threshold is another model. A folder of failures alone has nothing to lose.
  const std::string stricter = run_with_threshold(folder, 1.5);
  const std::string third = folder / "third";
  expect_error(predict({"--run", quick_run(), "--out", third, folder.put("bad.tif", "x")}), 1, {"bad.tif"});
  const auto strict = predict({"--run", stricter, "--out", third, test_slide(1)});
  EXPECT_EQ(strict.exit_code, 0) << strict.str();
  EXPECT_TRUE(json_in(third).at("failed").empty());
  expect_error(predict({"--run", quick_run(), "--out", third, test_slide(1)}), 1, {"another model"});
  // Weights of another round or run in the place of those that result.json speaks of.
  const std::string mil = "/rounds/initial+ranking/mil.safetensors";
  fs::copy_file(quick_run() + mil, other + mil, fs::copy_options::overwrite_existing);
  expect_error(predict({"--run", other, "--out", folder / "never", test_slide(1)}), 1,
               {"its weights are not those of its result.json"});
}

TEST(Predict, ASlideThatChangedIsPredictedAnew) {
  const TemporaryFolder folder;
  const std::string out = folder / "out";
  const std::string slide = folder / "s.tif";
  const Arguments arguments{"--run", quick_run(), "--out", out, slide};
  fs::copy_file(test_slide(1), slide);
  ASSERT_EQ(predict(arguments).exit_code, 0);
  const Json first = json_in(out).at("slides").at(0);
  fs::copy_file(test_slide(2), slide, fs::copy_options::overwrite_existing);
  ASSERT_EQ(predict(arguments).exit_code, 0);
  EXPECT_NE(json_in(out).at("slides").at(0).at("score"), first.at("score"));
  // Gone for a moment: the result stays. Another content that is no slide: it would be stale, and goes.
  const auto written = files_in(out);
  fs::rename(slide, folder / "away.tif");
  expect_error(predict(arguments), 1, {"s.tif"});
  EXPECT_EQ(files_in(out), written);
  folder.put("s.tif", "this is no slide any more");
  expect_error(predict(arguments), 1, {"s.tif"});
  EXPECT_EQ(files_in(out).size(), 2U);
  EXPECT_EQ(json_in(out).at("slides").size(), 0U);
  EXPECT_EQ(json_in(out).at("failed").at(0).at("slide_id"), "s");
}

TEST(Predict, KilledAtAnyMomentItEndsWithTheSameFiles) {
  const TemporaryFolder folder;
  const fs::path images = fs::path(test_slide(1)).parent_path();
  const Arguments reference{"--run",
                            quick_run(),
                            "--out",
                            folder / "whole",
                            images,
                            phantom_set() / "training/normal",
                            phantom_set() / "training/tumor"};
  const auto whole = predict(reference);
  ASSERT_EQ(whole.exit_code, 0) << whole.str();
  const auto expected = files_in(folder / "whole");
  RandomStream random(7, Purpose::test, 1);
  int kills = 0;
  for (int round = 0; round < 4; ++round) {
    const std::string out = folder / fmt::format("out_{}", round);
    Arguments arguments = reference;
    arguments[3] = out;
    for (int i = 0; i < 6; ++i) {
      ProgramOptions options;
      options.kill_signal = i % 3 == 2 ? SIGTERM : SIGKILL;
      const double moment = whole.seconds * random.uniform();
      options.kill_when = [&](double seconds) { return seconds > moment; };
      const auto killed = predict(arguments, options);
      kills += killed.signal == SIGKILL ? 1 : 0;
      if (killed.exit_code != 130) continue;
      expect_error(killed, 130, {"interrupted", "kept in", "the same command again", "goes on"});
      EXPECT_EQ(killed.err.find("checkpoint"), std::string::npos) << killed.err;
    }
    const auto last = predict(arguments);
    EXPECT_EQ(last.exit_code, 0) << last.str();
    EXPECT_EQ(files_in(out), expected);
  }
  EXPECT_GT(kills, 0);
}

TEST(Predict, InterruptedItKeepsWhatIsFinishedAndSaysSo) {
  const TemporaryFolder folder;
  const std::string out = folder / "out";
  Arguments arguments{"--run", quick_run(), "--out", out};
  for (const int number : {1, 2, 3, 4}) arguments.push_back(test_slide(number));
  ProgramOptions options;
  options.kill_signal = SIGINT;
  options.kill_when = [&](double) { return fs::exists(out + "/test_001_regions.xml"); };
  const auto stopped = predict(arguments, options);
  expect_error(stopped, 130, {"interrupted", "of 4 slides", "kept in", "the same command again"});
  const Json json = json_in(out);
  EXPECT_GE(json.at("slides").size(), 1U);
  EXPECT_LT(json.at("slides").size(), 4U);
  const auto time = fs::last_write_time(out + "/test_001.h5");
  const auto rest = predict(arguments);
  EXPECT_EQ(rest.exit_code, 0) << rest.str();
  EXPECT_EQ(json_in(out).at("slides").size(), 4U);
  EXPECT_EQ(fs::last_write_time(out + "/test_001.h5"), time);
}

TEST(Predict, WhatCannotBeWrittenCostsOneLineAndNothingElse) {
  if (kThreadSanitizer)
    GTEST_SKIP() << "ThreadSanitizer itself writes files beyond the limit that stands for a full disk";
  const TemporaryFolder folder;
  const std::string out = folder / "out";
  const Arguments arguments{"--run", quick_run(), "--out", out, test_slide(1), test_slide(2)};
  ProgramOptions full;
  full.file_bytes = 100'000;  // enough for scores, too little for a heatmap
  expect_error(predict(arguments, full), 1, {"test_001_heatmap.png", "space"});
  EXPECT_TRUE(fs::is_empty(out));
  const auto done = predict(arguments);
  EXPECT_EQ(done.exit_code, 0) << done.str();
  const auto written = files_in(out);
  // Full when an older result would be replaced: it stays as it is.
  Arguments again = arguments;
  again.insert(again.begin(), {"--region-score", "0.9"});
  expect_error(predict(again, full), 1, {"test_001_heatmap.png", "space"});
  EXPECT_EQ(files_in(out), written);

  expect_error(predict({"--run", quick_run(), "--out", folder.put("file", "x"), test_slide(1)}), 1,
               {"file: is no folder"});
  if (geteuid() == 0) return;  // to whom nothing is forbidden
  fs::create_directories(folder / "closed");
  fs::permissions(folder / "closed", fs::perms::owner_read | fs::perms::owner_exec);
  expect_error(predict({"--run", quick_run(), "--out", folder / "closed", test_slide(1)}), 1,
               {"closed", "Permission denied", "--out"});
}

TEST(Predict, TwoAtATimeInOneFolderAreTurnedAway) {
  const TemporaryFolder folder;
  const std::string journal = folder.put(".predict.jsonl", "");
  const int held = open(journal.c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_EQ(flock(held, LOCK_EX | LOCK_NB), 0);
  const Arguments arguments{"--run", quick_run(), "--out", folder.path(), test_slide(1)};
  expect_error(predict(arguments), 1, {"another predict is at work", "--out"});
  close(held);
  EXPECT_EQ(predict(arguments).exit_code, 0);
  EXPECT_FALSE(fs::exists(journal));
}

TEST(Predict, ADamagedJournalCostsWhatItSaidAndNothingElse) {
  const TemporaryFolder folder;
  const std::string out = folder / "out";
  const Arguments arguments{"--run", quick_run(), "--out", out, test_slide(1), test_slide(2)};
  ASSERT_EQ(predict(arguments).exit_code, 0);
  const auto written = files_in(out);
  for (const char* journal : {"", "{\"slide_id\": \"test_0", "rubbish\n\n[]\n{}\n{\"slide_id\": 7}\n"}) {
    folder.put("out/.predict.jsonl", journal);
    const auto again = predict(arguments);
    EXPECT_EQ(again.exit_code, 0) << again.str();
    EXPECT_EQ(files_in(out), written);
  }
  // A half file of a killed process goes; one of another name is somebody's.
  folder.put("out/.test_001.h5.tmp-12-3", "half");
  folder.put("out/.mine.tmp-12-3", "mine");
  EXPECT_EQ(predict(arguments).exit_code, 0);
  EXPECT_FALSE(fs::exists(out + "/.test_001.h5.tmp-12-3"));
  EXPECT_EQ(text_of(out + "/.mine.tmp-12-3"), "mine");
}

TEST(Predict, OddNamesAreWrittenAsTheyAreOrRefusedInOneLine) {
  const TemporaryFolder folder;
  const std::string good = "x #1 \"q\" 'y' ü,;";
  for (const std::string& name : {good, std::string("new\nline"), std::string("lat\xe9n")})
    fs::copy_file(test_slide(1), folder / (name + ".tif"));
  const std::string out = folder / "# \"out\" x";
  const auto result = predict({"--run", quick_run(), "--out", out, folder.path()});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 2) << result.err;
  const Json json = json_in(out);
  EXPECT_EQ(json.at("failed").size(), 2U);
  EXPECT_EQ(json.at("slides").at(0).at("slide_id"), good);
  EXPECT_TRUE(fs::exists(out + "/" + good + "_regions.xml"));
  const CsvTable csv = read_csv(out + "/predictions.csv");
  EXPECT_TRUE(std::any_of(csv.rows().begin(), csv.rows().end(),
                          [&](const CsvRow& row) { return row.fields[csv.column("slide_id")] == good; }));
}

TEST(Predict, ValuesThatCannotBeAreWrongUsage) {
  for (const char* score : {"nan", "-0.1", "1.5", "much"})
    expect_error(predict({"--run", "nowhere", "--region-score", score, "a.tif"}), 2, {"--region-score"});
  for (const char* mpp : {"-3", "0", "nan", "100"})
    expect_error(predict({"--run", "nowhere", "--mpp-override", mpp, "a.tif"}), 2, {"--mpp-override"});
  expect_error(predict({"--run", "nowhere", "a.tif"}), 1, {"nowhere: is no run folder"});
}

}  // namespace
}  // namespace mt::end_to_end
