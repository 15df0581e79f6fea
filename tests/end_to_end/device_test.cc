// The programs on a device: scores beside the cpu's, run folders that go from one to another, memory that
// runs out. The memory of simt is guarded, so that what would crash on a GPU crashes here.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>

#include "kernels/device/device.h"
#include "tensor/allocator.h"
#include "tensor/sanitizers.h"
#include "tests/end_to_end/programs.h"
#include "tests/end_to_end/tiny_dataset.h"

namespace mt::end_to_end {
namespace {

using Json = nlohmann::json;

// Scores are probabilities.
constexpr double kScoreTolerance = 0x1p-10;

ProgramOptions guarded() {
  ProgramOptions options;
  options.environment = {{"MICROTOME_SIMT_GUARD", "1"}};
  return options;
}

class DevicePrograms : public ::testing::TestWithParam<std::string> {};

TEST_P(DevicePrograms, ScoreAsOnTheCpu) {
  if (MT_THREAD_SANITIZER != 0) GTEST_SKIP() << "racecheck goes through every kernel by itself";
  if (!device_is_present(parse_device(GetParam()))) GTEST_SKIP() << "no NVIDIA GPU";
  const TemporaryFolder folder;
  const std::vector<CsvSlide> slides = csv_slides(1);
  const std::string run = folder / "run";
  const Arguments flags{"--data",
                        write_csv(folder, slides),
                        "--preset",
                        "tiny",
                        "--width",
                        "8",
                        "--layer4-stride",
                        "1",
                        "--mpp",
                        "8.0",
                        "--patch",
                        "48",
                        "--head-hidden",
                        "16",
                        "--head-output",
                        "8",
                        "--chunk",
                        "8",
                        "--pretrain-steps",
                        "1",
                        "--pretrain-batch",
                        "4",
                        "--mil-epochs",
                        "1",
                        "--rounds",
                        "1",
                        "--round-epochs",
                        "1",
                        "--finetune-batch",
                        "4",
                        "--device",
                        GetParam(),
                        "--kernels",
                        "own",  // others are said in the notes
                        "--run",
                        run};
  const auto trained = train(flags, guarded());
  ASSERT_EQ(trained.exit_code, 0) << trained.str();
  const Json result = Json::parse(text_of(run + "/result.json"));
  EXPECT_EQ(result.at("device") == "the SIMT machine", GetParam() == "simt") << result.at("device");
  EXPECT_EQ(result.at("config").at("device"), GetParam());
  EXPECT_EQ(result.at("notes"), Json::array());

  // One slide on both devices, with the run's weights.
  const std::string slide = slides.back().path.string();
  std::vector<double> scores;
  for (const std::string& device : {GetParam(), std::string("cpu")}) {
    const auto predicted =
        predict({"--run", run, "--out", folder / device, "--device", device, slide}, guarded());
    ASSERT_EQ(predicted.exit_code, 0) << predicted.str();
    const std::size_t row = predicted.out.find("\n" + slides.back().id);
    ASSERT_NE(row, std::string::npos) << predicted.out;
    scores.push_back(std::strtod(predicted.out.c_str() + row + 1 + slides.back().id.size(), nullptr));
  }
  EXPECT_NEAR(scores[0], scores[1], kScoreTolerance);
  for (const Json& tested : result.at("variants").at(0).at("test_slides")) {
    if (tested.at("slide_id") != slides.back().id) continue;
    EXPECT_NEAR(scores[0], tested.at("score").get<double>(), 1e-6);
  }
}

INSTANTIATE_TEST_SUITE_P(Devices, DevicePrograms, ::testing::Values("simt", "cuda"), [](const auto& test) {
  return test.param == "simt" ? "simt_ascending" : test.param;
});

TEST(Devices, ARunFolderBelongsToItsDeviceUnlessItIsSwitched) {
  const TemporaryFolder folder;
  const std::string run = folder / "run";
  const Arguments quick{"--method", "mil", "--pretrain", "none"};
  ASSERT_EQ(train(tiny_run(run, quick)).exit_code, 0);
  const Json before = Json::parse(text_of(run + "/result.json"));
  Arguments other = tiny_run(run, quick);
  other.insert(other.end(), {"--device", "simt"});
  expect_error(train(other), 1,
               {"another configuration", "device is \"cpu\" in the folder and \"simt\" now"});
  // Every stage is done, so that nothing is computed but what the labels would mine.
  other.emplace_back("--switch-device");
  const auto switched = train(other, guarded());
  ASSERT_EQ(switched.exit_code, 0) << switched.str();
  const Json after = Json::parse(text_of(run + "/result.json"));
  EXPECT_EQ(after.at("weights_sha256"), before.at("weights_sha256"));
  EXPECT_EQ(after.at("notes").back(), "begun on cpu, ended on simt (--switch-device)");
  EXPECT_NE(text_of(run + "/log.jsonl").find(R"({"event": "device", "from": "cpu", "to": "simt"})"),
            std::string::npos);
  // From now on the folder is simt's.
  expect_error(train(tiny_run(run, quick)), 1, {"device is \"simt\" in the folder and \"cpu\" now"});
}

TEST(Devices, WhereMemoryRunsOutChunksAreHalved) {
  const TemporaryFolder folder;
  const Arguments limited{"--rounds", "1", "--device-memory", "8"};
  const auto result = train(tiny_run(folder / "run", limited));
  ASSERT_EQ(result.exit_code, 0) << result.str();
  EXPECT_NE(result.out.find("out of memory"), std::string::npos) << result.str();
  const Json notes = Json::parse(text_of(folder / "run/result.json")).at("notes");
  for (const char* step : {"pretrain", "finetune rounds/hnm+ranking/1"}) {
    const std::string start = std::string(step) + ": memory ran out: chunks of ";
    EXPECT_TRUE(std::any_of(notes.begin(), notes.end(),
                            [&](const Json& note) { return note.get<std::string>().starts_with(start); }))
        << step << notes;
  }
}

TEST(Devices, EmbeddingInHalvesGivesTheSameBits) {
  const train::Config config = tiny_config();
  const TemporaryFolder work;
  train::Dataset dataset = dataset_for(config, 1);
  train::RunFolder folder(work / "run", config);
  const std::vector<train::TiledSlide> slides =
      train::tile_slides(dataset, config, train::take_manifest(config, dataset), folder, {});
  train::PatchSource patches(slides, config);
  const train::Encoder encoder = train::make_encoder(config);
  int32_t most = 0;
  for (std::size_t s = 0; s < slides.size(); ++s)
    if (slides[s].tiles.count() > patches.at(most).tiles.count()) most = static_cast<int32_t>(s);
  ASSERT_GT(patches.at(most).tiles.count(), 16);

  Allocator& memory = allocator(Device::cpu);
  const std::size_t before = memory.live_bytes();
  memory.reset_peak();
  const Tensor whole = train::embed_slide(encoder, patches, most).features;
  const std::size_t needed = memory.peak_bytes() - before;
  memory.set_limit(before + needed * 3 / 4);
  const Tensor halves = train::embed_slide(encoder, patches, most).features;
  memory.set_limit(0);
  ASSERT_EQ(whole.numel(), halves.numel());
  EXPECT_EQ(std::memcmp(whole.raw(), halves.raw(), whole.bytes()), 0);
}

TEST(Devices, WhereNoChunkFitsOneLineSaysSo) {
  const TemporaryFolder folder;
  const auto result = train(tiny_run(folder / "run", {"--device-memory", "1"}));
  EXPECT_EQ(result.exit_code, 1) << result.str();
  expect_error(result, 1, {"out of memory", "--chunk"});
}

TEST(Devices, CudaWithoutAGpuIsOneLine) {
  const TemporaryFolder folder;
  const auto result = train(tiny_run(folder / "run", {"--device", "cuda"}));
  if (result.exit_code == 0) GTEST_SKIP() << "there is a GPU";
  expect_error(result, 1, {"--device cuda", "use --device cpu"});
  EXPECT_FALSE(fs::exists(folder / "run"));
}

}  // namespace
}  // namespace mt::end_to_end
