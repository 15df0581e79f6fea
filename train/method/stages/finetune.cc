// Fine-tuning of the encoder on mined patches, with the supervised contrastive loss.

#include <algorithm>
#include <cmath>

#include "autograd/optimizers.h"
#include "autograd/schedule.h"
#include "models/losses.h"
#include "models/weights.h"
#include "tensor/check.h"
#include "tensor/io/safetensors.h"
#include "tensor/rng.h"
#include "train/cli/interrupt.h"
#include "train/cli/progress.h"
#include "train/data/views.h"
#include "train/method/contrastive_step.h"
#include "train/method/stages/stages.h"
#include "train/run/score_files.h"
#include "train/run/training_log.h"

namespace mt::train {
namespace {

std::vector<PatchId> ids_of(const std::vector<ScoredPatch>& patches) {
  std::vector<PatchId> ids;
  ids.reserve(patches.size());
  for (const ScoredPatch& patch : patches) ids.push_back(patch.id);
  return ids;
}

/// Endless draw without replacement: permutation after permutation.
class Draw {
 public:
  Draw(std::vector<PatchId> ids, RandomStream random)
      : ids_(std::move(ids)), random_(random), next_(ids_.size()) {}
  void take(std::size_t count, std::vector<PatchId>& out) {
    for (std::size_t i = 0; i < count; ++i) {
      if (next_ == ids_.size()) {
        random_.shuffle(std::span<PatchId>(ids_));
        next_ = 0;
      }
      out.push_back(ids_[next_++]);
    }
  }

 private:
  std::vector<PatchId> ids_;
  RandomStream random_;
  std::size_t next_;
};

/// What the batches of an epoch hold. Positives come first in every batch.
struct EpochPlan {
  std::vector<std::vector<PatchId>> batches;
  std::vector<std::size_t> positives;  // of each batch
  std::vector<bool> is_step_two;       // two-step: the paper's step B
};

EpochPlan plan_epoch(const Config& config, const MinedSet& mined, int64_t epoch, bool labels_updated) {
  const auto stream = [&](const char* what) {
    return RandomStream(config.seed, Purpose::mining, static_cast<uint32_t>(epoch), hash64(what));
  };
  // One epoch is one pass over the negatives: the mined ones, and a fresh random share of the others.
  std::vector<PatchId> negatives = ids_of(mined.hard_negatives);
  if (!mined.easy_negatives.empty() && config.random_negatives > 0) {
    const double all = static_cast<double>(mined.hard_negatives.size() + mined.easy_negatives.size());
    const auto extra = std::min(mined.easy_negatives.size(),
                                static_cast<std::size_t>(std::llround(config.random_negatives * all)));
    Draw(ids_of(mined.easy_negatives), stream("easy")).take(extra, negatives);
  }
  const bool two_step = config.finetune_loss == FinetuneLoss::two_step;
  const auto batch = static_cast<std::size_t>(config.finetune_batch);
  const auto share = [&](double positives) {
    return std::clamp<std::size_t>(
        static_cast<std::size_t>(std::llround(positives * static_cast<double>(batch))), 1, batch - 1);
  };
  const std::size_t positives_one = share(config.finetune_positives);
  const std::size_t positives_two = share(config.finetune_positives_two);
  const std::size_t steps = (negatives.size() + batch - positives_one - 1) / (batch - positives_one);
  Draw negative(negatives, stream("negative"));
  Draw positive(ids_of(two_step ? mined.positives : mined.paced_positives), stream("positive"));
  Draw paced(ids_of(mined.paced_positives), stream("paced"));
  // Once the pseudo-labels have been renewed, step B's negatives may hold patches of positive slides too.
  std::vector<PatchId> negatives_two = negatives;
  if (config.uncertain_negatives && labels_updated) {
    const std::vector<PatchId> uncertain = ids_of(mined.paced_uncertain);
    negatives_two.insert(negatives_two.end(), uncertain.begin(), uncertain.end());
  }
  Draw negative_two(std::move(negatives_two), stream("negative two"));
  EpochPlan plan;
  const auto add = [&](Draw& p, Draw& n, std::size_t positives, bool is_two) {
    std::vector<PatchId> ids;
    p.take(positives, ids);
    n.take(batch - positives, ids);
    plan.batches.push_back(std::move(ids));
    plan.positives.push_back(positives);
    plan.is_step_two.push_back(is_two);
  };
  for (std::size_t step = 0; step < steps; ++step) {
    add(positive, negative, positives_one, false);
    if (two_step && epoch >= config.warmup_epochs) add(paced, negative_two, positives_two, true);
  }
  return plan;
}

ContrastiveRecipe recipe_for(const Config& config, bool is_step_two) {
  ContrastiveRecipe recipe = config.finetune_loss == FinetuneLoss::joint ? ContrastiveRecipe::centred()
                             : is_step_two                               ? ContrastiveRecipe::paper_step_b()
                                                                         : ContrastiveRecipe::paper_step_a();
  recipe.temperature = config.finetune_temperature;
  if (config.finetune_loss == FinetuneLoss::joint) recipe.base_temperature = config.finetune_temperature;
  return recipe;
}

class Finetuning {
 public:
  Finetuning(RunContext& context, const FinetuneTask& task)
      : context_(context),
        config_(context.config),
        task_(task),
        step_(task.files.finetuning()),
        encoder_(load_encoder(context.folder.checked(task.before.encoder()), config_)),
        arena_(encoder_.network->parameters()),
        optimizer_(ArenaOptimizer::sgd(arena_, config_.finetune_momentum, config_.finetune_weight_decay)),
        contrastive_(encoder_, arena_, config_.chunk),
        scores_(read_instance_scores(context.folder.checked(task.labelled.label_scores()), context.slides)) {
    begin_training(encoder_, config_);
    for (std::size_t s = 0; s < scores_.size(); ++s) {
      const Split split = context.slides[s].record.split;
      const bool is_mined =
          split == Split::train || (split == Split::validation && config_.finetune_on_validation);
      if (!is_mined) scores_[s].clear();
    }
  }

  void run() {
    if (task_.before.round() > 0)
      optimizer_.restore(
          SafetensorsFile(context_.folder.checked(task_.before.optimizer()).string()).read_all());
    const NamedTensors at_start = checkpoint();
    if (const auto saved = context_.folder.checkpoint(step_)) {
      restore(saved->tensors);
      record_ = saved->record;
    }
    const Stopwatch watch(record_.seconds);
    Progress progress(fmt::format("fine-tune round {}", task_.files.round()), config_.round_epochs, "epochs");
    progress.start_at(record_.epochs);
    while (record_.epochs < config_.round_epochs && !record_.collapsed) {
      const MinedSet mined = mine_for(record_.epochs);
      note(mined);
      record_.collapsed = !run_epoch(record_.epochs, mined, progress);
      ++record_.epochs;
      progress.advance();
      record_.seconds = watch.seconds();
      if (!record_.collapsed && record_.epochs < config_.round_epochs)
        context_.folder.save_checkpoint(step_, checkpoint(), record_);
    }
    progress.finish();
    if (record_.collapsed) {
      std::printf("  the embeddings collapsed (squared norm of their mean %.3f): round %lld is rolled back\n",
                  last_mean_direction_, static_cast<long long>(task_.files.round()));
      restore(at_start);
    }
    save_encoder(context_.folder.to_write(task_.files.encoder()), encoder_);
    write_sealed_tensors(context_.folder.to_write(task_.files.optimizer()), optimizer_.checkpoint());
    note_chunk(contrastive_, config_, record_);
    record_.seconds = watch.seconds();
    context_.folder.finish(step_, record_, {task_.files.encoder(), task_.files.optimizer()});
  }

 private:
  NamedTensors checkpoint() const {
    NamedTensors tensors = optimizer_.checkpoint();
    append_buffers(encoder_, tensors);
    return tensors;
  }
  void restore(const NamedTensors& tensors) {
    optimizer_.restore(tensors);
    restore_buffers(encoder_, tensors);
  }

  MinedSet mine_for(int64_t epoch) const {
    const int64_t global = (task_.files.round() - 1) * config_.round_epochs + epoch;
    const int64_t last =
        std::max<int64_t>(1, config_.rounds * config_.round_epochs - 1 - config_.warmup_epochs);
    const double position = static_cast<double>(global - config_.warmup_epochs) / static_cast<double>(last);
    return mine(context_.slides, scores_, config_, task_.method, position,
                static_cast<uint32_t>(task_.files.round()));
  }

  /// False when the embeddings collapsed.
  bool run_epoch(int64_t epoch, const MinedSet& mined, Progress& progress) {
    const int64_t global = (task_.files.round() - 1) * config_.round_epochs + epoch;
    const int64_t epochs = config_.rounds * config_.round_epochs;
    const double rate = Schedule::cosine(config_.finetune_lr, epochs)
                            .rate(steps_from_epoch(global, config_.finetune_cosine_from));
    const EpochPlan plan = plan_epoch(config_, mined, global, task_.labelled.round() != 0);
    const AugmentPolicy policy = view_policy(config_);
    DeviceFeed feed(context_.patches, plan.batches, encoder_.network->device());
    DeviceFeed::Batch batch;
    double loss_sum = 0;
    std::size_t step = 0;
    for (; feed.next(batch); ++step) {
      check_interrupted();
      loss_sum += update(batch, plan.positives[step], plan.is_step_two[step], policy, rate,
                         static_cast<uint32_t>(global * 100000 + static_cast<int64_t>(step)));
      progress.note(fmt::format("step {}/{}  loss {:.3f}", step + 1, plan.batches.size(),
                                loss_sum / static_cast<double>(step + 1)));
      progress.advance(0);
      if (step == 0 && epoch == 0) record_.first_mean_direction = last_mean_direction_;
      if (has_collapsed()) {
        log_epoch(global, step + 1, loss_sum, rate, mined, true);
        return false;
      }
    }
    log_epoch(global, step, loss_sum, rate, mined, false);
    return true;
  }

  /// Nearer to one point than the limit, and twice as near as when the round began: an encoder that is hardly
  /// trained yet embeds everything in one direction, which is no collapse.
  bool has_collapsed() const {
    return config_.collapse_at > 0 && last_mean_direction_ > config_.collapse_at &&
           last_mean_direction_ > (1 + record_.first_mean_direction) / 2;
  }

  double update(const DeviceFeed::Batch& batch, std::size_t positives, bool is_step_two,
                const AugmentPolicy& policy, double rate, uint32_t stream) {
    const auto images = static_cast<int64_t>(batch.ids.size());
    const Tensor views = two_views(batch, context_.patches, policy, config_.seed, stream);
    ContrastiveBatch rows;
    rows.images = images;
    rows.labels.assign(batch.ids.size(), 0);
    std::fill_n(rows.labels.begin(), positives, 1);
    const ContrastiveRecipe recipe = recipe_for(config_, is_step_two);
    Variable mean_direction;
    const double loss = contrastive_.gradients(views, [&](const Variable& z) {
      const ContrastiveLoss parts = contrastive_loss(z, rows, recipe);
      mean_direction = parts.mean_direction;
      return parts.total;
    });
    last_mean_direction_ = mean_direction.item();
    optimizer_.step(rate);
    ++record_.updates;
    record_.images += images;
    return loss;
  }

  void log_epoch(int64_t epoch, std::size_t steps, double loss_sum, double rate, const MinedSet& mined,
                 bool collapsed) {
    FinetuneEpoch line;
    line.out = task_.files.name();
    line.epoch = epoch;
    line.steps = static_cast<int64_t>(steps);
    line.loss = loss_sum / static_cast<double>(std::max<std::size_t>(steps, 1));
    line.learning_rate = rate;
    line.mean_direction = last_mean_direction_;
    line.positives = static_cast<int64_t>(mined.positives.size());
    line.paced_positives = static_cast<int64_t>(mined.paced_positives.size());
    line.hard_negatives = static_cast<int64_t>(mined.hard_negatives.size());
    line.uncertain_negatives = static_cast<int64_t>(mined.paced_uncertain.size());
    line.positive_threshold = mined.positive_threshold;
    line.negative_threshold = mined.negative_threshold;
    line.positive_share = mined.positive_share;
    line.fallback = mined.fallback;
    line.collapsed = collapsed;
    context_.folder.log(step_, line);
  }

  void note(const MinedSet& mined) {
    record_.positives = static_cast<int64_t>(mined.positives.size());
    record_.hard_negatives = static_cast<int64_t>(mined.hard_negatives.size());
    record_.positive_threshold = mined.positive_threshold;
    record_.negative_threshold = mined.negative_threshold;
    record_.positive_share = mined.positive_share;
    record_.fallback = mined.fallback;
  }

  RunContext& context_;
  const Config& config_;
  const FinetuneTask& task_;
  Step<FinetuneRecord> step_;
  Encoder encoder_;
  ParameterArena arena_;
  ArenaOptimizer optimizer_;
  ContrastiveStep contrastive_;
  std::vector<std::vector<float>> scores_;  // of the slides that are mined
  double last_mean_direction_ = 0;
  FinetuneRecord record_;
};

}  // namespace

void finetune(RunContext& context, const FinetuneTask& task) {
  if (context.folder.done(task.files.finetuning())) return;
  Finetuning(context, task).run();
}

}  // namespace mt::train
