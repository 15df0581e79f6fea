#include "train/method/estimate.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>

#include "autograd/arithmetic.h"
#include "autograd/optimizers.h"
#include "kernels/device/device.h"
#include "models/losses.h"
#include "models/mil.h"
#include "tensor/allocator.h"
#include "tensor/check.h"
#include "tensor/parallel.h"
#include "tensor/rng.h"
#include "train/cli/progress.h"
#include "train/data/views.h"
#include "train/method/contrastive_step.h"
#include "train/run/context.h"
#include "train/run/run_files.h"

namespace mt::train {
namespace {

constexpr double kSecondsEach = 0.5;

/// Seconds of one call, the mean of those that fit into kSecondsEach (one at least), after one to warm up; and the tensors that it had at
/// a time.
struct Timing {
  double seconds = 0;
  double memory_bytes = 0;
};

template <typename Work>
Timing time(Device device, const Work& work) {
  allocator(device).reset_peak();
  const std::size_t before = allocator(device).live_bytes();
  work();
  synchronize(device);
  Timing timing;
  timing.memory_bytes = static_cast<double>(allocator(device).peak_bytes() - before);
  const Stopwatch all;
  int64_t calls = 0;
  do {
    work();
    synchronize(device);
    ++calls;
  } while (all.seconds() < kSecondsEach);
  timing.seconds = all.seconds() / static_cast<double>(calls);
  return timing;
}

Tensor random_pixels(int64_t images, int64_t side, Device device) {  // (images,side,side,3)
  const Tensor pixels = Tensor::empty({images, side, side, 3}, DType::u8);
  RandomStream random(1, Purpose::test);
  for (uint8_t& value : pixels.span<uint8_t>()) value = static_cast<uint8_t>(random.below(256));
  return moved_to(pixels, device);
}

Tensor random_features(int64_t instances, int64_t width, Device device) {  // (N,D)
  const Tensor features = Tensor::empty({instances, width});
  RandomStream random(2, Purpose::test);
  for (float& value : features.span<float>()) value = random.normal();
  return moved_to(features, device);
}

/// What the run is made of, by split and label.
struct Sizes {
  std::array<std::array<double, 2>, 3> slides{};
  std::array<std::array<double, 2>, 3> patches{};
  double all_patches = 0;
  double all_slides = 0;
  double largest_bag = 1;

  Sizes(const Dataset& dataset, const PreflightFacts& facts) {
    for (const SlideRecord& slide : dataset.slides) {
      const auto tiles = facts.tiles.find(slide.id);
      const auto instances = facts.instances.find(slide.id);
      const auto count = static_cast<double>(tiles != facts.tiles.end()           ? tiles->second.count()
                                             : instances != facts.instances.end() ? instances->second
                                                                                  : 0);
      const auto split = static_cast<std::size_t>(slide.split);
      const auto label = static_cast<std::size_t>(slide.label);
      slides[split][label] += 1;
      patches[split][label] += count;
      all_patches += count;
      all_slides += 1;
      largest_bag = std::max(largest_bag, count);
    }
  }
  double mean_bag() const { return std::max(1.0, all_patches / std::max(1.0, all_slides)); }
};

/// Seconds of a forward pass an image, and the tensors that it has.
struct EmbedTiming {
  double seconds = 0;
  double bytes = 0;
};

EmbedTiming time_embedding(const Encoder& encoder, const Config& config) {
  constexpr int64_t kImages = 16;
  const NoGradGuard no_grad;
  const Tensor pixels = random_pixels(kImages, config.patch, encoder.network->device());
  const Timing timing = time(encoder.network->device(), [&] { encoder.features(pixels); });
  return {timing.seconds / kImages, timing.memory_bytes / kImages};
}

/// Seconds of a contrastive step an image, two views each, with the tensors of a chunk as large as the run's.
struct StepTiming {
  double seconds = 0;
  double bytes = 0;
};

/// In batches of `batch` images. A batch of several chunks has a second forward pass; how many they are makes no difference an image. The
/// chunk grows from 8 views, with which a small network is slow, to that of the run, as long as a step is short.
StepTiming time_step(const Encoder& encoder, const ParameterArena& arena, const Config& config,
                     int64_t batch) {
  constexpr double kShort = 0.15;
  const Device device = encoder.network->device();
  const ContrastiveRecipe recipe = ContrastiveRecipe::simclr(config.pretrain_temperature);
  const AugmentPolicy policy = view_policy(config);
  const int64_t most = std::min(config.chunk, 2 * batch);
  StepTiming result;
  for (int64_t chunk = config.bn == BatchStatistics::batch ? most : std::min<int64_t>(8, most);;) {
    ContrastiveBatch rows;
    rows.images = (2 * batch <= config.chunk ? chunk : 2 * chunk) / 2;
    DeviceFeed::Batch patches;
    TiledSlide slide;  // places for the random numbers' keys
    for (int64_t i = 0; i < rows.images; ++i) {
      patches.ids.push_back({0, static_cast<int32_t>(i)});
      slide.tiles.x_level0.push_back(i);
      slide.tiles.y_level0.push_back(0);
    }
    patches.pixels = random_pixels(rows.images, config.patch, device);
    const PatchSource source(std::span(&slide, 1), config, 0);
    ContrastiveStep step(encoder, arena, chunk);
    const auto work = [&] {
      const Tensor views = two_views(patches, source, policy, 1, 0);
      step.gradients(views, [&](const Variable& z) { return contrastive_loss(z, rows, recipe).total; });
    };
    work();
    const Stopwatch one;
    work();
    synchronize(device);
    if (chunk < most && one.seconds() < kShort) {
      chunk = std::min(most, 2 * chunk);
      continue;
    }
    const Timing timing = time(device, work);
    result.seconds = timing.seconds / static_cast<double>(rows.images);
    result.bytes = timing.memory_bytes / static_cast<double>(chunk) * static_cast<double>(most);
    return result;
  }
}

/// Seconds of a step on a pair of bags, and of one bag's score.
struct MilTimings {
  double pair_seconds = 0;
  double score_seconds = 0;
  double bytes = 0;
};

MilTimings time_mil(const Config& config, double bag, double largest_bag, int64_t width) {
  const auto model = make_mil_model(config.mil, width, 1, config.device);
  ParameterArena arena(model->parameters());
  ArenaOptimizer optimizer = ArenaOptimizer::adam(arena, 0);
  const Tensor features = random_features(std::llround(bag), width, config.device);
  MilTimings timings;
  const Timing pair = time(config.device, [&] {
    backward(
        pair_loss(model->forward(Variable(features)), model->forward(Variable(features)), MilLossWeights{})
            .total);
    optimizer.step(1e-4);
  });
  timings.pair_seconds = pair.seconds;
  timings.bytes = pair.memory_bytes * largest_bag / bag;
  const NoGradGuard no_grad;
  timings.score_seconds = time(config.device, [&] { model->forward(Variable(features)); }).seconds;
  return timings;
}

/// Images of one epoch of fine-tuning, as plan_epoch() lays its batches.
double images_of_epoch(const Config& config, const Sizes& sizes, Method method) {
  double negatives = sizes.patches[0][0] + (config.finetune_on_validation ? sizes.patches[1][0] : 0);
  if (method != Method::its2clr) negatives *= std::min(1.0, config.negative_ratio + config.random_negatives);
  const auto batch = static_cast<double>(config.finetune_batch);
  const double positives = std::clamp(std::round(config.finetune_positives * batch), 1.0, batch - 1);
  const double steps = std::ceil(negatives / (batch - positives));
  return steps * batch * (config.finetune_loss == FinetuneLoss::two_step ? 2 : 1);
}

double bytes_in(const std::filesystem::path& folder) {
  double bytes = 0;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder, ignored)) {
    if (entry.is_regular_file(ignored)) bytes += static_cast<double>(entry.file_size(ignored));
  }
  return bytes;
}

}  // namespace

StageEstimate RunEstimate::total() const {
  StageEstimate all{"all", 0, 0, 0};
  for (const StageEstimate& stage : stages) {
    all.seconds += stage.seconds;
    all.disk_bytes += stage.disk_bytes;
    all.memory_bytes = std::max(all.memory_bytes, stage.memory_bytes);
  }
  return all;
}

RunEstimate estimate_run(const Dataset& dataset, const PreflightFacts& facts, const Config& config) {
  constexpr double kPatchCache = 256e6;  // of PatchSource
  constexpr double kBagCache = 1e9;      // of Bags
  constexpr double kBytesOfTile = 28;    // two places, tissue, tumour
  const Stopwatch watch;
  const Sizes sizes(dataset, facts);
  RunEstimate estimate;
  estimate.patches = std::llround(sizes.all_patches);
  const bool has_features = !config.features.empty();
  const int threads = thread_count();
  const double decoders = std::max(1, threads / 2);

  int64_t width = facts.feature_width;
  double embed_seconds = 0;
  double weights_bytes = 0;
  StepTiming finetune_step;
  double feature_bytes = 0;
  if (!has_features) {
    Encoder encoder = make_encoder(config);
    width = encoder.network->config().feature_width();
    const EmbedTiming embed_image = time_embedding(encoder, config);
    begin_training(encoder, config);
    const ParameterArena arena(encoder.network->parameters());
    weights_bytes = static_cast<double>(arena.size()) * 4;
    estimate.stages.push_back(
        {"tile", facts.tiling_seconds * sizes.all_slides / threads, sizes.all_patches * kBytesOfTile, 0});
    // Decoding runs beside the network, and takes its processors.
    const auto with_decoding = [&](double seconds, double images) {
      const double decoding = facts.decoding_seconds * images;
      return config.device == Device::cpu ? std::max(seconds + decoding / threads, decoding / decoders)
                                          : std::max(seconds, decoding / decoders);
    };
    if (config.pretrain == Pretraining::simclr) {
      const StepTiming step = time_step(encoder, arena, config, config.pretrain_batch);
      const double images =
          static_cast<double>(config.pretrain_steps) * static_cast<double>(config.pretrain_batch);
      estimate.stages.push_back({"pretrain",
                                 with_decoding(step.seconds * images, std::min(images, sizes.all_patches)),
                                 weights_bytes, kPatchCache + step.bytes + 4 * weights_bytes});
    }
    if (config.method != Method::mil || config.ablation)
      finetune_step = time_step(encoder, arena, config, config.finetune_batch);
    embed_seconds = with_decoding(embed_image.seconds * sizes.all_patches, sizes.all_patches);
    feature_bytes = sizes.all_patches * (static_cast<double>(width) * 4 + 16);
    estimate.stages.push_back({"embed", embed_seconds, feature_bytes, kPatchCache + embed_image.bytes * 256});
  }

  const MilTimings mil = time_mil(config, sizes.mean_bag(), sizes.largest_bag, width);
  const double pairs = std::min(sizes.slides[0][0], sizes.slides[0][1]);
  const double scored = sizes.slides[1][0] + sizes.slides[1][1] + sizes.slides[2][0] + sizes.slides[2][1];
  const double mil_seconds =
      static_cast<double>(config.mil_epochs) * (pairs * mil.pair_seconds + scored * mil.score_seconds);
  const double mil_memory =
      std::min(kBagCache, sizes.all_patches * static_cast<double>(width) * 4) + mil.bytes;
  const double mil_disk = sizes.all_patches * 8;  // two files of scores

  std::vector<Method> methods{config.method};
  double rankings = 1;
  if (config.ablation) {
    methods.clear();
    for (const Choice<Method>& method : choices_of<Method>) methods.push_back(method.value);
    rankings = 2;
  }
  estimate.stages.push_back({"MIL, first round", rankings * mil_seconds, rankings * mil_disk, mil_memory});
  for (const Method method : methods) {
    if (method == Method::mil) continue;
    const double rounds = static_cast<double>(config.rounds) * rankings;
    const double images = images_of_epoch(config, sizes, method) * static_cast<double>(config.round_epochs);
    const double decoding = facts.decoding_seconds * images / decoders;
    const double finetune = std::max(finetune_step.seconds * images, decoding);
    // Features of the chosen round and of the one that is tried; encoder and optimizer of every round.
    estimate.stages.push_back({fmt::format("{}: {:.0f} rounds", choice_name(method), rounds),
                               rounds * (finetune + embed_seconds + mil_seconds),
                               rankings * 2 * feature_bytes + rounds * (mil_disk + 2 * weights_bytes),
                               std::max(kPatchCache + finetune_step.bytes + 4 * weights_bytes, mil_memory)});
  }
  estimate.timed_seconds = watch.seconds();
  return estimate;
}

void say_what_it_takes(const Dataset& dataset, const PreflightFacts& facts, const Config& config) {
  const RunEstimate estimate = estimate_run(dataset, facts, config);
  const auto line = [](const StageEstimate& stage) {
    std::printf("  %-24s %14s %10.2f GB %10.2f GB\n", stage.name.c_str(),
                duration_text(stage.seconds).c_str(), stage.disk_bytes / 1e9, stage.memory_bytes / 1e9);
  };
  std::printf("\n  %-24s %14s %13s %13s\n", "estimate, from nothing", "time", "disk", "memory");
  for (const StageEstimate& stage : estimate.stages) line(stage);
  const StageEstimate all = estimate.total();
  line(all);
  std::filesystem::path there = std::filesystem::absolute(config.run);
  while (!std::filesystem::exists(there)) there = there.parent_path();
  const auto room = static_cast<double>(std::filesystem::space(there).available);
  const double held = bytes_in(config.run);  // by what is finished of this run
  std::printf(
      "  timed for %.1f s on this machine as it is now, %d threads, %s; expect a factor of 1.5 either way\n",
      estimate.timed_seconds, thread_count(), name_of(config.device));
  std::printf("  memory: tensors, beside about 0.2 GB of program; disk: %.1f GB are free in %s\n", room / 1e9,
              there.c_str());
  std::fflush(stdout);
  check(room + held > all.disk_bytes,
        "{}: about {:.1f} GB are needed and {:.1f} GB are free; take another --run", there.string(),
        all.disk_bytes / 1e9, room / 1e9);
}

}  // namespace mt::train
