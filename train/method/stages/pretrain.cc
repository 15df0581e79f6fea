#include <algorithm>
#include <cmath>
#include <numbers>

#include "autograd/optimizers.h"
#include "models/losses.h"
#include "models/weights.h"
#include "tensor/check.h"
#include "tensor/rng.h"
#include "train/cli/interrupt.h"
#include "train/cli/progress.h"
#include "train/data/views.h"
#include "train/method/contrastive_step.h"
#include "train/method/stages/stages.h"
#include "train/run/training_log.h"

namespace mt::train {
namespace {

/// All patches of the training slides, in passes: each pass is a fresh permutation.
std::vector<std::vector<PatchId>> draw_batches(const RunContext& context, int64_t first_step) {
  std::vector<PatchId> all;
  for (std::size_t s = 0; s < context.slides.size(); ++s) {
    if (context.slides[s].record.split != Split::train) continue;
    for (int64_t t = 0; t < context.slides[s].tiles.count(); ++t)
      all.push_back({static_cast<int32_t>(s), static_cast<int32_t>(t)});
  }
  const auto batch = static_cast<std::size_t>(context.config.pretrain_batch);
  check(all.size() >= 2, "pretrain: the training slides have {} patches; at least two are needed",
        all.size());
  std::vector<PatchId> sequence;
  const std::size_t needed = batch * static_cast<std::size_t>(context.config.pretrain_steps);
  for (uint32_t pass = 0; sequence.size() < needed; ++pass) {
    std::vector<PatchId> order = all;
    RandomStream(context.config.seed, Purpose::shuffle, pass, hash64("pretrain"))
        .shuffle(std::span<PatchId>(order));
    sequence.insert(sequence.end(), order.begin(), order.end());
  }
  sequence.resize(needed);
  sequence.erase(sequence.begin(), sequence.begin() + static_cast<std::ptrdiff_t>(
                                                          batch * static_cast<std::size_t>(first_step)));
  return in_batches(sequence, batch);
}

/// Linear warm-up over the first tenth of the steps (Adam's first steps are large, and a contrastive loss
/// that falls into its flat point ln(2B − 1) stays there), then cosine to 0.
double learning_rate(const Config& config, int64_t step) {
  const auto total = static_cast<double>(config.pretrain_steps);
  const double warm = std::min(1.0, static_cast<double>(step + 1) / std::max(1.0, total / 10));
  return config.pretrain_lr * warm * 0.5 *
         (1 + std::cos(std::numbers::pi * static_cast<double>(step) / total));
}

PretrainRecord simclr(RunContext& context, Encoder& encoder, const Step<PretrainRecord>& stage) {
  const Config& config = context.config;
  begin_training(encoder, config);
  ParameterArena arena(encoder.network->parameters());
  ArenaOptimizer optimizer = ArenaOptimizer::adam(arena, 0);
  int64_t step = 0;
  double seconds_before = 0;
  if (const auto checkpoint = context.folder.checkpoint(stage)) {
    optimizer.restore(checkpoint->tensors);
    restore_buffers(encoder, checkpoint->tensors);
    step = optimizer.steps();
    seconds_before = checkpoint->record.seconds;
  }
  const Stopwatch watch(seconds_before);
  double saved_at = watch.seconds();
  const AugmentPolicy policy = view_policy(config);
  const ContrastiveRecipe recipe = ContrastiveRecipe::simclr(config.pretrain_temperature);
  Progress progress("pretrain (SimCLR)", config.pretrain_steps, "steps");
  progress.start_at(step);
  ContrastiveStep contrastive(encoder, arena, config.chunk);
  DeviceFeed feed(context.patches, draw_batches(context, step), encoder.network->device());
  DeviceFeed::Batch batch;
  while (feed.next(batch)) {
    check_interrupted();
    const Tensor views = two_views(batch, context.patches, policy, config.seed, static_cast<uint32_t>(step));
    ContrastiveBatch rows;
    rows.images = static_cast<int64_t>(batch.ids.size());
    const double loss = contrastive.gradients(
        views, [&](const Variable& z) { return contrastive_loss(z, rows, recipe).total; });
    optimizer.step(learning_rate(config, step));
    ++step;
    progress.note(fmt::format("loss {:.3f}", loss));
    progress.advance();
    context.folder.log(stage, PretrainStep{step, loss});
    if (watch.seconds() - saved_at >= config.checkpoint_seconds && step < config.pretrain_steps) {
      NamedTensors checkpoint = optimizer.checkpoint();
      append_buffers(encoder, checkpoint);
      PretrainRecord record;
      record.seconds = watch.seconds();
      context.folder.save_checkpoint(stage, checkpoint, record);
      saved_at = watch.seconds();
    }
  }
  PretrainRecord record;
  record.seconds = watch.seconds();
  record.updates = step;
  record.images = step * config.pretrain_batch;
  note_chunk(contrastive, config, record);
  return record;
}

}  // namespace

void pretrain(RunContext& context) {
  const Step<PretrainRecord> stage = context.folder.files().pretraining();
  if (context.folder.done(stage)) return;
  Encoder encoder = make_encoder(context.config);
  PretrainRecord record;
  if (context.config.pretrain == Pretraining::simclr) record = simclr(context, encoder, stage);
  const auto file = context.folder.to_write(context.folder.files().initial_encoder());
  save_encoder(file, encoder);
  context.folder.finish(stage, record, {file});
}

}  // namespace mt::train
