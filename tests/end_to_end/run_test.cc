// Whole runs under --preset tiny: that they end, resume, and come out the same whatever happens to them.

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tensor/io/safetensors.h"
#include "tensor/rng.h"
#include "tests/end_to_end/programs.h"
#include "train/feature_files/feature_files.h"
#include "wsi/annotation.h"
#include "wsi/phantom/phantom_dataset.h"

namespace mt::end_to_end {
namespace {

using Json = nlohmann::json;

Json result_of(const std::string& run) {
  return Json::parse(text_of(run + "/result.json"));
}

ProgramOptions with_threads(int threads) {
  ProgramOptions options;
  options.environment = {{"OMP_NUM_THREADS", std::to_string(threads)}};
  return options;
}

/// Weights, metrics and every slide's score must agree to the last bit.
void expect_same_results(const Json& actual, const Json& expected) {
  EXPECT_EQ(actual.at("weights_sha256"), expected.at("weights_sha256"));
  ASSERT_EQ(actual.at("variants").size(), expected.at("variants").size());
  for (std::size_t v = 0; v < expected.at("variants").size(); ++v) {
    for (const char* key : {"metrics", "test_slides", "threshold", "selected_round", "selected_epoch"})
      EXPECT_EQ(actual.at("variants")[v].at(key), expected.at("variants")[v].at(key)) << key;
  }
}

/// The run that the others are held against: --data phantom with two threads, made once.
const std::string& reference_run() {
  static const TemporaryFolder folder;
  static const std::string run = [] {
    const std::string path = folder / "run";
    const auto result = train({"--data", "phantom", "--preset", "tiny", "--run", path}, with_threads(2));
    EXPECT_EQ(result.exit_code, 0) << result.str();
    EXPECT_EQ(result.err, "");
    return path;
  }();
  return run;
}

TEST(TinyRun, EndsWithFiguresHashAndReport) {
  const Json result = result_of(reference_run());
  const std::string hash = result.at("weights_sha256");
  EXPECT_EQ(hash.size(), 64U);
  EXPECT_EQ(hash.find_first_not_of("0123456789abcdef"), std::string::npos) << hash;
  const Json& variant = result.at("variants").at(0);
  EXPECT_EQ(variant.at("name"), "hnm+ranking");
  EXPECT_EQ(variant.at("rounds").size(), 3U);
  std::vector<std::string> measured;
  for (const Json& metric : variant.at("metrics")) {
    if (metric.at("value").is_null()) continue;
    const double value = metric.at("value");
    EXPECT_TRUE(std::isfinite(value) && value >= 0 && value <= 1) << metric;
    measured.push_back(metric.at("name"));
  }
  for (const char* name : {"slide_auc", "accuracy", "instance_auc", "instance_average_precision"})
    EXPECT_NE(std::find(measured.begin(), measured.end(), name), measured.end()) << name;
  EXPECT_EQ(variant.at("test_slides").size(), 4U);
  EXPECT_GT(fs::file_size(reference_run() + "/report.html"), 1000U);
}

TEST(TinyRun, TheSameCommandAgainIsDoneInAMoment) {
  const std::string& run = reference_run();
  const Json before = result_of(run);
  // A killed process's half file goes; one that a shard may be writing stays.
  const fs::path abandoned = run + "/rounds/.mil.safetensors.tmp-1-0";
  const fs::path young = run + "/rounds/.mil.safetensors.tmp-2-0";
  for (const fs::path& half : {abandoned, young}) std::ofstream(half) << "half";
  fs::last_write_time(abandoned, fs::file_time_type::clock::now() - std::chrono::hours(1));
  const auto again = train({"--data", "phantom", "--preset", "tiny", "--run", run});
  EXPECT_EQ(again.exit_code, 0) << again.str();
  EXPECT_FALSE(fs::exists(abandoned));
  EXPECT_TRUE(fs::remove(young));
  EXPECT_EQ(again.out.find("MIL"), std::string::npos) << again.out;
  EXPECT_EQ(again.out.find("fine-tune round"), std::string::npos) << again.out;
  EXPECT_EQ(again.out.find("embed"), std::string::npos) << again.out;
  expect_same_results(result_of(run), before);
  EXPECT_EQ(result_of(run).at("stages"), before.at("stages"));
}

TEST(TinyRun, LayoutAndThreadsDoNotMatter) {
  const TemporaryFolder folder;
  wsi::PhantomSetOptions bucket;
  bucket.train_slides = bucket.validation_slides = bucket.test_slides = 4;
  bucket.layout = wsi::PhantomLayout::bucket;
  wsi::write_phantom_set(folder / "bucket", bucket);
  const auto result = train(
      {"--data", "camelyon16", "--root", folder / "bucket", "--preset", "tiny", "--run", folder / "run"},
      with_threads(1));
  ASSERT_EQ(result.exit_code, 0) << result.str();
  expect_same_results(result_of(folder / "run"), result_of(reference_run()));
}

/// Ends `train` by SIGKILL when `when` says so; true when it was killed before its end.
bool killed(const Arguments& arguments, const std::function<bool(double)>& when) {
  ProgramOptions options;
  options.kill_when = when;
  const auto result = train(arguments, options);
  EXPECT_TRUE(result.signal == SIGKILL || result.exit_code == 0) << result.str();
  return result.signal == SIGKILL;
}

/// Asked when to kill: when the run has a checkpoint of `step`, quotes included.
std::function<bool(double)> has_checkpoint(const std::string& run, const std::string& step) {
  return [=](double) {
    const std::string state = text_of(run + "/state.json");
    const std::size_t checkpoints = state.find("\"checkpoints\"");
    return checkpoints != std::string::npos && state.find(step, checkpoints) != std::string::npos;
  };
}

TEST(TinyRun, KilledAtFiveMomentsAndRestartedItEndsTheSame) {
  const TemporaryFolder folder;
  const std::string run = folder / "run";
  const Arguments arguments = tiny_run(run, {"--checkpoint-seconds", "0"});
  RandomStream random(16, Purpose::test, 0);
  int kills = 0;
  double delay = 0.02;
  while (kills < 5) {
    const double moment = delay * (1 + random.uniform());
    if (killed(arguments, [&](double seconds) { return seconds > moment; })) {
      ++kills;
      delay *= 1.8;
    } else {  // on a fast machine it may end first: the moments go on in a new run
      fs::remove_all(run);
      delay = 0.02;
    }
  }
  const auto last = train(arguments);
  ASSERT_EQ(last.exit_code, 0) << last.str();
  expect_same_results(result_of(run), result_of(reference_run()));
  EXPECT_EQ(text_of(run + "/log.jsonl"), text_of(reference_run() + "/log.jsonl"));
}

TEST(TinyRun, KilledRightAfterACheckpointOfEachStageItEndsTheSame) {
  const TemporaryFolder folder;
  const std::string run = folder / "run";
  const Arguments arguments = tiny_run(run, {"--checkpoint-seconds", "0"});
  for (const char* step :
       {"\"pretrain\"", "\"mil rounds/initial+ranking\"", "\"finetune rounds/hnm+ranking/1\"",
        "\"finetune rounds/hnm+ranking/2\"", "\"mil rounds/hnm+ranking/2\""}) {
    EXPECT_TRUE(killed(arguments, has_checkpoint(run, step))) << step;
  }
  const auto last = train(arguments);
  ASSERT_EQ(last.exit_code, 0) << last.str();
  expect_same_results(result_of(run), result_of(reference_run()));
  EXPECT_EQ(text_of(run + "/log.jsonl"), text_of(reference_run() + "/log.jsonl"));
}

TEST(TinyRun, BatchNormOnBatchStatisticsResumesWithItsRunningOnes) {
  const TemporaryFolder folder;
  const Arguments batch_norm{"--norm", "batch", "--bn", "batch", "--checkpoint-seconds", "0"};
  const auto whole = train(tiny_run(folder / "whole", batch_norm));
  ASSERT_EQ(whole.exit_code, 0) << whole.str();
  const Arguments parts = tiny_run(folder / "parts", batch_norm);
  for (const char* step : {"\"pretrain\"", "\"finetune rounds/hnm+ranking/1\""})
    EXPECT_TRUE(killed(parts, has_checkpoint(folder / "parts", step))) << step;
  const auto last = train(parts);
  ASSERT_EQ(last.exit_code, 0) << last.str();
  expect_same_results(result_of(folder / "parts"), result_of(folder / "whole"));
  const std::string encoder = "/encoders/initial.safetensors";
  EXPECT_EQ(text_of(folder / ("parts" + encoder)), text_of(folder / ("whole" + encoder)));
  const SafetensorsFile weights(folder / ("whole" + encoder));
  EXPECT_EQ(weights["bn1.num_batches_tracked"].item<int64_t>(), 6);  // the tiny preset's steps
  EXPECT_NE(weights["bn1.running_mean"].data<float>()[0], 0.0F);
}

TEST(TinyRun, CtrlCSaysHowToGoOn) {
  const TemporaryFolder folder;
  const Arguments arguments = tiny_run(folder / "run", {"--method", "mil"});
  ProgramOptions options;
  options.kill_signal = SIGINT;
  options.kill_when = [&](double) { return fs::exists(folder / "run/tiles"); };
  expect_error(train(arguments, options), 130, {"interrupted", "run the same command again"});
  EXPECT_FALSE(fs::exists(folder / "run/result.json"));
  EXPECT_EQ(train(arguments).exit_code, 0);
}

TEST(TinyRun, CtrlCWhileFineTuningCostsNothing) {
  const TemporaryFolder folder;
  const Arguments arguments = tiny_run(folder / "run", {"--checkpoint-seconds", "0"});
  ProgramOptions options;
  options.kill_signal = SIGINT;
  options.kill_when = has_checkpoint(folder / "run", "\"finetune rounds/hnm+ranking/1\"");
  expect_error(train(arguments, options), 130, {"interrupted", "run the same command again"});
  EXPECT_FALSE(fs::exists(folder / "run/result.json"));
  const auto last = train(arguments);
  ASSERT_EQ(last.exit_code, 0) << last.str();
  expect_same_results(result_of(folder / "run"), result_of(reference_run()));
}

TEST(TinyRun, PredictGivesTheScoresOfTheResult) {
  const TemporaryFolder folder;
  const Json slide = result_of(reference_run()).at("variants").at(0).at("test_slides").at(1);
  const std::string id = slide.at("slide_id");
  const auto result = predict({"--run", reference_run(), "--out", folder / "out",
                               reference_run() + "/phantom/testing/images/" + id + ".tif"});
  ASSERT_EQ(result.exit_code, 0) << result.str();
  const std::size_t row = result.out.find("\n" + id);
  ASSERT_NE(row, std::string::npos) << result.out;
  const double score = std::strtod(result.out.c_str() + row + 1 + id.size(), nullptr);
  EXPECT_NEAR(score, slide.at("score").get<double>(), 1e-6);
  const train::SlideFeatures features = train::read_features(folder / ("out/" + id + ".h5"));
  ASSERT_EQ(features.coords.dim(0), features.features.dim(0));
  EXPECT_EQ(text_of(folder / ("out/" + id + "_heatmap.png")).substr(1, 3), "PNG");
  // Regions: the middle of a patch is in one exactly when its instance score is 0.5 or more.
  const auto geojson = wsi::read_annotations(folder / ("out/" + id + "_regions.geojson"), {"Suspicious"});
  const auto asap = wsi::read_annotations(folder / ("out/" + id + "_regions.xml"), {"Suspicious"});
  const double half = static_cast<double>(features.attributes.patch_size_level0.value_or(0)) / 2;
  const auto coords = features.coords.span<int64_t>();
  const auto instance_scores =
      std::find_if(features.instances.begin(), features.instances.end(),
                   [](const auto& entry) { return entry.first == "instance_scores"; });
  ASSERT_NE(instance_scores, features.instances.end());
  const auto scores = instance_scores->second.span<float>();
  for (std::size_t i = 0; i < scores.size(); ++i) {
    const double x = static_cast<double>(coords[2 * i]) + half;
    const double y = static_cast<double>(coords[2 * i + 1]) + half;
    EXPECT_EQ(geojson.contains(x, y), scores[i] >= 0.5F) << i;
    EXPECT_EQ(asap.contains(x, y), scores[i] >= 0.5F) << i;
  }
}

TEST(TinyRun, GivenFeaturesTrainTheSameBagModel) {
  const TemporaryFolder folder;
  const auto result =
      train({"--data", write_csv(folder, csv_slides(2)), "--preset", "tiny", "--method", "mil", "--features",
             reference_run() + "/features/initial", "--run", folder / "run"});
  ASSERT_EQ(result.exit_code, 0) << result.str();
  // The first round of the reference run trained on these features, with the same seed.
  const char* scores = "/rounds/initial+ranking/scores.safetensors";
  EXPECT_EQ(text_of(folder / ("run" + std::string(scores))), text_of(reference_run() + scores));
}

TEST(TinyRun, ShardsFillOneRunFolder) {
  const TemporaryFolder folder;
  const auto run_quick = [&](const std::string& run, const Arguments& more) {
    Arguments arguments = tiny_run(folder / run, {"--method", "mil"});
    arguments.insert(arguments.end(), more.begin(), more.end());
    const auto result = train(arguments);
    EXPECT_EQ(result.exit_code, 0) << result.str();
    return result;
  };
  run_quick("whole", {});
  // Two machines tile, one pre-trains, two embed, one goes on.
  run_quick("parts", {"--shard", "1/2", "--until", "tile"});
  run_quick("parts", {"--shard", "2/2", "--until", "tile"});
  EXPECT_FALSE(fs::exists(folder / "parts/encoders/initial.safetensors"));
  run_quick("parts", {"--until", "pretrain"});
  EXPECT_TRUE(fs::exists(folder / "parts/encoders/initial.safetensors"));
  run_quick("parts", {"--shard", "1/2"});
  EXPECT_FALSE(fs::exists(folder / "parts/result.json"));
  run_quick("parts", {"--shard", "2/2"});
  const fs::path features = folder / "parts/features/initial/test_004.h5";
  ASSERT_TRUE(fs::exists(features));
  const auto written = fs::last_write_time(features);
  run_quick("parts", {});
  EXPECT_EQ(fs::last_write_time(features), written);
  expect_same_results(result_of(folder / "parts"), result_of(folder / "whole"));
}

TEST(TinyRun, StopsAfterTheStageThatIsNamedAndGoesOnFromThere) {
  const TemporaryFolder folder;
  const auto run_until = [&](const Arguments& more) {
    const auto result = train(tiny_run(folder / "run", more));
    EXPECT_EQ(result.exit_code, 0) << result.str();
    return result.out;
  };
  // Each stage and a file that only the one after it writes.
  const std::vector<std::pair<std::string, std::string>> stages{
      {"tile", "encoders/initial.safetensors"},
      {"pretrain", "features/initial/test_004.h5"},
      {"embed", "rounds/initial+ranking/mil.safetensors"},
      {"mil", "rounds/hnm+ranking/1/encoder.safetensors"}};
  for (const auto& [stage, next] : stages) {
    const std::string out = run_until({"--until", stage});
    EXPECT_NE(out.find(stage + " is done; the same command without --until goes on"), std::string::npos)
        << out;
    EXPECT_FALSE(fs::exists(fs::path(folder / "run") / next)) << stage;
    EXPECT_FALSE(fs::exists(folder / "run/result.json")) << stage;
  }
  run_until({});
  for (const auto& [stage, next] : stages) EXPECT_TRUE(fs::exists(fs::path(folder / "run") / next)) << next;
}

}  // namespace
}  // namespace mt::end_to_end
