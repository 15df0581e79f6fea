// The method on a device, stage by stage: on the SIMT machine and on a GPU against the cpu's, from the same
// files. The memory of simt is guarded, so that what would crash on a GPU crashes here.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>

#include "kernels/common/tables.h"
#include "kernels/device/device.h"
#include "kernels/simt/memory_guard.h"
#include "models/mil.h"
#include "models/weights.h"
#include "tensor/io/safetensors.h"
#include "tensor/rng.h"
#include "tensor/sanitizers.h"
#include "tests/end_to_end/programs.h"
#include "tests/end_to_end/tiny_dataset.h"
#include "train/run/score_files.h"

namespace mt::end_to_end {
namespace {

using Json = nlohmann::json;
using train::MinedSet;
using train::ScoredPatch;

// What the devices may differ by. Both round to float32 after the same formulas, but sum in other orders.
//
// Features: some twenty layers, each with sums of up to 600 products; one rounding is 2^-24 of a value.
constexpr double kFeatureTolerance = 0x1p-14;  // of the largest feature
// Weights after training: of the length of the way from the first weights. For the bag model:
constexpr double kMilWeightTolerance = 0x1p-10;
// The encoder's training amplifies rounding: its gradients are large where InstanceNorm divides by the
// deviation of a nearly constant map, and Adam's first step takes the sign of a gradient that is nearly 0.
constexpr double kEncoderWeightTolerance = 0x1p-6;
// Where the cpu itself, from first weights that are moved by one rounding, goes farther apart than that, the
// devices may be this many times as far apart: they round in every operation.
constexpr double kPerturbation = 0x1p-23;
constexpr double kTimesThePerturbed = 4;
// Losses, of their size: of a first step, and the mean over an epoch whose later steps follow updates.
constexpr double kLossTolerance = 0x1p-14;
constexpr double kEpochLossTolerance = 0x1p-10;
// Scores are probabilities.
constexpr double kScoreTolerance = 0x1p-10;

/// Guarded memory while it lives.
class GuardedMemory {
 public:
  GuardedMemory() { simt_machine::set_memory_guard(true); }
  ~GuardedMemory() { simt_machine::set_memory_guard(false); }
};

/// A run on one device over slides that both devices share.
struct Run {
  Run(const train::Config& shared, Device device, const std::string& path, const train::Dataset& dataset,
      const std::vector<train::TiledSlide>& slides)
      : config(on(shared, device, path)),
        folder(path, config),
        patches(slides, config),
        context{config, folder, dataset, slides, patches} {}

  static train::Config on(train::Config config, Device device, const std::string& path) {
    config.device = device;
    config.run = path;
    return config;
  }
  std::string encoder() const { return folder.files().initial_encoder().string(); }
  /// Round 0, or the first of hnm without ranking.
  train::RoundFiles round(int64_t number) const { return folder.round({train::Method::hnm, false}, number); }

  train::Config config;
  train::RunFolder folder;
  train::PatchSource patches;
  train::RunContext context;
};

double length(const std::vector<double>& values) {
  double squares = 0;
  for (const double value : values) squares += value * value;
  return std::sqrt(squares);
}

/// All float32 tensors behind each other, in the order of their names; not the shift of features before MIL.
std::vector<double> values_of(NamedTensors tensors) {
  std::vector<double> values;
  std::sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  for (const auto& [name, tensor] : tensors) {
    if (tensor.dtype() != DType::f32 || name.starts_with("centring.")) continue;
    for (const float value : tensor.span<float>()) values.push_back(value);
  }
  return values;
}

std::vector<double> values_of(const std::string& path) {
  return values_of(SafetensorsFile(path).read_all());
}

std::vector<double> difference(const std::vector<double>& a, const std::vector<double>& b) {
  EXPECT_EQ(a.size(), b.size());
  std::vector<double> result(std::min(a.size(), b.size()));
  for (std::size_t i = 0; i < result.size(); ++i) result[i] = a[i] - b[i];
  return result;
}

double largest(const std::vector<double>& values) {
  double most = 0;
  for (const double value : values) most = std::max(most, std::isnan(value) ? INFINITY : std::abs(value));
  return most;
}

void report(const std::string& what, double got, double allowed) {
  std::printf("  %-28s differs by %.2e, %.2e allowed\n", what.c_str(), got, allowed);
  std::fflush(stdout);
  EXPECT_TRUE(got <= allowed) << what;
}

/// ‖a − b‖ as a share of the way that training went from `start` to b.
double weight_difference(const std::string& a, const std::string& b, const std::vector<double>& start) {
  const std::vector<double> want = values_of(b);
  const double way = length(difference(want, start));
  EXPECT_GT(way, 0) << b << " did not move";
  return length(difference(values_of(a), want)) / way;
}

/// The losses that a run has logged for an event, in their order.
std::vector<double> losses_of(const Run& run, const std::string& event) {
  std::ifstream log(run.folder.files().log());
  std::vector<double> losses;
  for (std::string line; std::getline(log, line);) {
    const Json entry = Json::parse(line);
    if (entry.at("event") == event) losses.push_back(entry.at("loss"));
  }
  return losses;
}

/// Writes the encoder with every weight moved up or down by kPerturbation of its size.
void write_perturbed(const std::string& encoder, const std::string& path, uint64_t seed) {
  const SafetensorsFile file(encoder);
  NamedTensors tensors = file.read_all();
  RandomStream random(seed, Purpose::test, 0);
  for (auto& [name, tensor] : tensors) {
    for (float& value : tensor.span<float>())
      value *= 1 + (random.uniform() < 0.5F ? -1.0F : 1.0F) * static_cast<float>(kPerturbation);
  }
  train::write_sealed_tensors(path, tensors, file.metadata());
}

/// The sets are equal, but for patches whose score is within the tolerance of the threshold.
void expect_same_set(const std::string& what, const std::vector<ScoredPatch>& a,
                     const std::vector<ScoredPatch>& b, double threshold) {
  const auto less = [](const ScoredPatch& x, const ScoredPatch& y) {
    return std::pair(x.id.slide, x.id.tile) < std::pair(y.id.slide, y.id.tile);
  };
  std::vector<ScoredPatch> only_one;
  std::set_symmetric_difference(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(only_one), less);
  for (const ScoredPatch& patch : only_one) {
    EXPECT_NEAR(patch.score, threshold, kScoreTolerance)
        << what << ": slide " << patch.id.slide << ", patch " << patch.id.tile;
  }
  std::printf("  %-28s %zu and %zu patches, %zu of them in one set only\n", what.c_str(), a.size(), b.size(),
              only_one.size());
}

void expect_same_mining(const MinedSet& a, const MinedSet& b) {
  EXPECT_NEAR(a.positive_threshold, b.positive_threshold, kScoreTolerance);
  EXPECT_NEAR(a.negative_threshold, b.negative_threshold, kScoreTolerance);
  EXPECT_EQ(a.fallback, b.fallback);
  expect_same_set("mined positives", a.positives, b.positives, a.positive_threshold);
  expect_same_set("hard negatives", a.hard_negatives, b.hard_negatives, a.negative_threshold);
}

std::vector<double> joined(const std::vector<std::vector<float>>& parts) {
  std::vector<double> values;
  for (const auto& part : parts) values.insert(values.end(), part.begin(), part.end());
  return values;
}

/// Lays what `from` has made in one of its folders where `to` looks for it.
void lend(const Run& from, const Run& to, const char* folder) {
  std::filesystem::copy(from.folder.files().folder() / folder, to.folder.files().folder() / folder,
                        std::filesystem::copy_options::recursive);
}

/// Each stage on the cpu and on `device`, from the cpu's files of the stage before.
void compare_stage_by_stage(const train::Config& config, int slides, Device device) {
  const GuardedMemory guard;
  const TemporaryFolder work;
  train::Dataset dataset = dataset_for(config, slides);
  std::vector<train::TiledSlide> tiled;
  {
    train::RunFolder folder(work / "tiles", config);
    tiled = train::tile_slides(dataset, config, train::take_manifest(config, dataset), folder, {});
  }
  Run cpu(config, Device::cpu, work / "cpu", dataset, tiled);
  Run other(config, device, work / "other", dataset, tiled);

  const auto timed = [](const char* stage, const Run& run, const auto& work_to_do) {
    const train::Stopwatch watch;
    work_to_do();
    std::printf("  %-12s on %-4s took %.1f s\n", stage, name_of(run.config.device), watch.seconds());
    std::fflush(stdout);
  };

  // Pre-training.
  train::save_encoder(work / "random.safetensors", train::make_encoder(cpu.config));
  train::save_encoder(work / "random_other.safetensors", train::make_encoder(other.config));
  EXPECT_EQ(text_of(work / "random.safetensors"), text_of(work / "random_other.safetensors"));
  for (Run* run : {&cpu, &other}) timed("pre-training", *run, [&] { train::pretrain(run->context); });
  const std::string initial = cpu.encoder();
  std::vector<std::unique_ptr<Run>> moved;  // the cpu again, from weights that were moved
  const double first_loss = losses_of(cpu, "pretrain_step").at(0);
  report("first loss of pre-training",
         std::abs(losses_of(other, "pretrain_step").at(0) - first_loss) / first_loss, kLossTolerance);
  double apart = 0;
  const std::vector<double> random_weights = values_of(work / "random.safetensors");
  for (const uint64_t seed : {1U, 2U}) {
    train::Config perturbed = config;
    perturbed.weights = work / fmt::format("moved_{}.safetensors", seed);
    write_perturbed(work / "random.safetensors", perturbed.weights, seed);
    moved.push_back(
        std::make_unique<Run>(perturbed, Device::cpu, work / fmt::format("cpu_{}", seed), dataset, tiled));
    train::pretrain(moved.back()->context);
    apart = std::max(apart, weight_difference(moved.back()->encoder(), initial, random_weights));
  }
  report("pre-trained weights", weight_difference(other.encoder(), initial, random_weights),
         std::max(kEncoderWeightTolerance, kTimesThePerturbed * apart));

  // Features, of the cpu's encoder.
  Run embedding(config, device, work / "embedding", dataset, tiled);
  lend(cpu, embedding, "encoders");
  for (Run* run : {&cpu, &embedding})
    timed("embedding", *run, [&] { train::embed(run->context, run->round(0)); });
  std::vector<double> features[2];
  for (const train::SlideRecord& slide : dataset.slides) {
    int side = 0;
    for (const Run* run : {&cpu, &embedding}) {
      const Tensor made = train::read_own_features(run->round(0).features(slide.id).string()).features;
      for (const float value : made.span<float>()) features[side].push_back(value);
      ++side;
    }
  }
  report("features", largest(difference(features[1], features[0])) / largest(features[0]), kFeatureTolerance);

  // The bag model, on the cpu's features.
  Run bags(config, device, work / "bags", dataset, tiled);
  lend(cpu, bags, "features");
  for (Run* run : {&cpu, &bags})
    timed("MIL", *run, [&] { train::train_mil(run->context, {run->round(0), true, "MIL"}); });
  const auto untrained =
      make_mil_model(config.mil, train::make_encoder(cpu.config).network->config().feature_width(),
                     mix64(config.seed ^ hash64("mil")));
  report("MIL weights",
         weight_difference(bags.round(0).mil().string(), cpu.round(0).mil().string(),
                           values_of(state_dict(*untrained))),
         kMilWeightTolerance);
  auto cpu_scores = train::read_instance_scores(cpu.round(0).label_scores(), tiled);
  auto other_scores = train::read_instance_scores(bags.round(0).label_scores(), tiled);
  report("instance scores", largest(difference(joined(other_scores), joined(cpu_scores))), kScoreTolerance);
  report("slide scores",
         largest(difference(values_of(bags.round(0).scores().string()),
                            values_of(cpu.round(0).scores().string()))),
         kScoreTolerance);

  // Mining: each device its own scores, and the other's, which must give the same set exactly.
  for (auto* scores : {&cpu_scores, &other_scores}) {
    for (std::size_t s = 0; s < scores->size(); ++s)
      if (dataset.slides[s].split != train::Split::train) (*scores)[s].clear();
  }
  const MinedSet cpu_mined = train::mine(tiled, cpu_scores, cpu.config, train::Method::hnm, 0.5);
  const MinedSet same = train::mine(tiled, cpu_scores, other.config, train::Method::hnm, 0.5);
  EXPECT_EQ(same.positive_threshold, cpu_mined.positive_threshold);
  EXPECT_EQ(same.negative_threshold, cpu_mined.negative_threshold);
  EXPECT_EQ(same.paced_positives.size(), cpu_mined.paced_positives.size());
  EXPECT_EQ(same.hard_negatives.size(), cpu_mined.hard_negatives.size());
  expect_same_mining(cpu_mined, train::mine(tiled, other_scores, other.config, train::Method::hnm, 0.5));

  // Fine-tuning, from the cpu's encoder and scores.
  const auto finetune = [](Run& run) {
    train::finetune(run.context, {train::Method::hnm, run.round(1), run.round(0), run.round(0)});
  };
  Run tuning(config, device, work / "tuning", dataset, tiled);
  lend(cpu, tuning, "encoders");
  lend(cpu, tuning, "rounds");
  for (Run* run : {&cpu, &tuning}) timed("fine-tuning", *run, [&] { finetune(*run); });
  const auto tuned = [](const Run& run) { return run.round(1).encoder().string(); };
  const double loss = losses_of(cpu, "finetune_epoch").at(0);  // the mean over the epoch's steps
  report("loss of fine-tuning", std::abs(losses_of(tuning, "finetune_epoch").at(0) - loss) / loss,
         kEpochLossTolerance);
  apart = 0;
  uint64_t seed = 2;
  for (std::size_t i = 0; i < moved.size(); ++i) {
    Run run(config, Device::cpu, work / fmt::format("tuning_{}", ++seed), dataset, tiled);
    write_perturbed(initial, run.folder.to_write(run.encoder()), seed);
    std::filesystem::create_directories(run.round(0).label_scores().parent_path());
    std::filesystem::copy_file(cpu.round(0).label_scores(), run.round(0).label_scores());
    finetune(run);
    apart = std::max(apart, weight_difference(tuned(run), tuned(cpu), values_of(initial)));
  }
  report("fine-tuned weights", weight_difference(tuned(tuning), tuned(cpu), values_of(initial)),
         std::max(kEncoderWeightTolerance, kTimesThePerturbed * apart));
}

/// --preset tiny cut down to a minute of the SIMT machine.
void cut(train::Config& config) {
  config.mpp = "4.0";
  config.patch = 48;
  config.head_hidden = 16;
  config.head_output = 8;
  config.pretrain_steps = 1;
  config.pretrain_batch = 4;
  config.chunk = 8;
  config.mil_epochs = 1;
  config.rounds = 1;
  config.round_epochs = 1;
  config.finetune_batch = 4;
}

class DeviceStages : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (MT_THREAD_SANITIZER != 0) GTEST_SKIP() << "racecheck goes through every kernel by itself";
    const Device device = parse_device(GetParam());
    if (!device_is_present(device)) GTEST_SKIP() << "no NVIDIA GPU";
    choose_kernels("own", device);
  }
};

TEST_P(DeviceStages, DoWhatTheyDoOnTheCpu) {
  train::Config config = tiny_config();
  cut(config);
  train::validate(config);
  compare_stage_by_stage(config, 1, parse_device(GetParam()));
}

/// --preset tiny, its networks, slides, batches and MIL training; of the encoder's trainings one step and one
/// epoch (two steps). After more, weights that began one rounding apart are as far apart on the cpu alone.
TEST_P(DeviceStages, DoWhatTheyDoOnTheCpuOnTheTinyPreset) {
  if (GetParam() == "simt" && std::getenv("MICROTOME_SIMT_LARGE") == nullptr)
    GTEST_SKIP() << "minutes of the SIMT machine; set MICROTOME_SIMT_LARGE";
  train::Config config = tiny_config();
  config.pretrain_steps = 1;
  config.rounds = 1;
  config.round_epochs = 1;
  compare_stage_by_stage(config, 1 << 30, parse_device(GetParam()));
}

INSTANTIATE_TEST_SUITE_P(Devices, DeviceStages, ::testing::Values("simt", "cuda"), [](const auto& test) {
  return test.param == "simt" ? "simt_ascending" : test.param;
});

}  // namespace
}  // namespace mt::end_to_end
