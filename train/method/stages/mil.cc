// Training of the bag model on the features of one encoder.

#include <algorithm>
#include <cmath>
#include <limits>

#include "autograd/ops.h"
#include "autograd/optimizers.h"
#include "autograd/schedule.h"
#include "models/losses.h"
#include "models/mil.h"
#include "models/weights.h"
#include "tensor/check.h"
#include "tensor/rng.h"
#include "train/cli/interrupt.h"
#include "train/cli/progress.h"
#include "train/data/bags.h"
#include "train/figures/metrics.h"
#include "train/method/mil_file.h"
#include "train/method/stages/stages.h"
#include "train/run/score_files.h"
#include "train/run/training_log.h"

namespace mt::train {
namespace {

/// Scores of the slides of one split, in the dataset's order.
struct SplitScores {
  std::vector<std::size_t> slides;
  std::vector<int> labels;
  std::vector<double> scores;
  double loss = 0;  // mean of bag and max-instance loss, without ranking
};

class MilTraining {
 public:
  MilTraining(RunContext& context, const MilTask& task)
      : context_(context),
        config_(context.config),
        task_(task),
        step_(task.files.mil_training()),
        bags_(context.slides,
              config_.features.empty() ? task.files.features() : std::filesystem::path(config_.features),
              config_.features.empty(), config_.device, config_.features_key) {
    // The same initial weights with and without ranking and for every method: a variant differs by what it is
    // named for only.
    model_ = make_mil_model(config_.mil, bags_.feature_width(),
                            mix64(config_.seed ^ hash64("mil") ^ static_cast<uint64_t>(task.files.round())),
                            config_.device);
    if (config_.mil_features == MilFeatures::centred)
      model_->set_centring(bags_.centring_of_training_slides());
    for (std::size_t s = 0; s < context.slides.size(); ++s) {
      const SlideRecord& slide = context.slides[s].record;
      if (slide.split == Split::train) (slide.label == 1 ? positive_ : negative_).push_back(s);
    }
    check(!positive_.empty() && !negative_.empty(), "mil: the training slides have only one class");
    weights_.rank = task.ranking ? config_.rank_weight : 0;
    weights_.rank_top = config_.rank_k;
    weights_.pos_weight = static_cast<double>(negative_.size()) / static_cast<double>(positive_.size());
  }

  void run() {
    ParameterArena arena(model_->parameters());
    ArenaOptimizer optimizer = ArenaOptimizer::adam(arena, config_.mil_weight_decay);
    if (const auto checkpoint = context_.folder.checkpoint(step_)) {
      optimizer.restore(checkpoint->tensors);
      restore(*checkpoint);
    }
    const Stopwatch watch(record_.seconds);
    double saved_at = watch.seconds();
    Progress progress(task_.label, config_.mil_epochs, "epochs");
    progress.start_at(record_.epochs);
    while (record_.epochs < config_.mil_epochs) {
      const double loss = train_epoch(optimizer, record_.epochs);
      judge(record_.epochs, loss);
      ++record_.epochs;
      record_.updates = optimizer.steps();
      record_.seconds = watch.seconds();
      progress.note(fmt::format("loss {:.3f}  validation AUC {:.3f}", loss, last_validation_auc_));
      progress.advance();
      if (watch.seconds() - saved_at >= config_.checkpoint_seconds && record_.epochs < config_.mil_epochs) {
        save(optimizer);
        saved_at = watch.seconds();
      }
    }
    write_outputs();
    record_.seconds = watch.seconds();
    context_.folder.finish(step_, record_,
                           {task_.files.mil(), task_.files.scores(), task_.files.label_scores()});
  }

 private:
  MilOutput forward(std::size_t slide) { return model_->forward(Variable(bags_.bag(slide))); }

  /// One epoch: min(#positive, #negative) random pairs, drawn anew; or, as the public code does without
  /// ranking, single bags.
  double train_epoch(ArenaOptimizer& optimizer, int64_t epoch) {
    RandomStream random(config_.seed, Purpose::pairs, static_cast<uint32_t>(epoch),
                        static_cast<uint64_t>(task_.files.round()));
    std::vector<std::size_t> positive = positive_;
    std::vector<std::size_t> negative = negative_;
    random.shuffle(std::span<std::size_t>(positive));
    random.shuffle(std::span<std::size_t>(negative));
    // The schedule counts scheduler steps; two an epoch let a period be half an epoch, as in the public code.
    const Schedule schedule =
        Schedule::step(config_.mil_lr, std::max<int64_t>(1, std::llround(config_.mil_halve_every * 2)), 0.5);
    const double rate = schedule.rate(epoch * 2);
    double sum = 0;
    int64_t steps = 0;
    const auto update = [&](const Variable& loss) {
      check_interrupted();
      backward(loss);
      optimizer.step(rate);
      sum += loss.item();  // waits for the device: once a step, when all of it is queued
      ++steps;
    };
    if (!task_.ranking && config_.mil_steps == MilSteps::single) {
      std::vector<std::size_t> all = positive;
      all.insert(all.end(), negative.begin(), negative.end());
      random.shuffle(std::span<std::size_t>(all));
      for (const std::size_t slide : all) {
        update(bag_loss(forward(slide), {static_cast<double>(context_.slides[slide].record.label)}, weights_)
                   .total);
      }
    } else {
      const std::size_t pairs = std::min(positive.size(), negative.size());
      for (std::size_t p = 0; p < pairs; ++p)
        update(pair_loss(forward(positive[p]), forward(negative[p]), weights_).total);
    }
    return sum / static_cast<double>(steps);
  }

  SplitScores score(Split split) {
    const NoGradGuard no_grad;
    SplitScores result;
    for (std::size_t s = 0; s < context_.slides.size(); ++s) {
      if (context_.slides[s].record.split != split) continue;
      check_interrupted();
      const int label = context_.slides[s].record.label;
      const MilOutput output = forward(s);
      result.slides.push_back(s);
      result.labels.push_back(label);
      result.scores.push_back(slide_score(output));
      result.loss += bag_loss(output, {static_cast<double>(label)}, weights_).total.item();
    }
    result.loss /= static_cast<double>(std::max<std::size_t>(result.slides.size(), 1));
    return result;
  }

  /// Validation decides which epoch is kept; the test slides are looked at for the test-optimal figures only.
  void judge(int64_t epoch, double train_loss) {
    const SplitScores validation = score(Split::validation);
    const SplitScores test = score(Split::test);
    last_validation_auc_ =
        auc(validation.labels, validation.scores).value_or(std::numeric_limits<double>::quiet_NaN());
    const auto f1 = max_f1_threshold(validation.labels, validation.scores);
    const auto test_five = five_scores(test.labels, test.scores);
    record_.validation_f1 = std::max(record_.validation_f1, f1 ? f1->f1 : 0);
    if (test_five && test_five->auc > record_.test_optimal_auc) {
      record_.test_optimal_auc = test_five->auc;
      record_.test_optimal_accuracy = test_five->accuracy;
      record_.test_optimal_epoch = epoch;
    }
    if (validation.loss < record_.validation_loss) {
      record_.validation_loss = validation.loss;
      record_.validation_auc = last_validation_auc_;
      record_.best_epoch = epoch;
      const auto youden = youden_threshold(validation.labels, validation.scores);
      record_.threshold = youden ? youden->threshold : 0.5;
      best_weights_ = state_dict(*model_);
    }
    if (config_.mil_label_epoch > 0 && epoch == config_.mil_label_epoch) label_weights_ = state_dict(*model_);
    context_.folder.log(step_,
                        MilEpoch{task_.files.name(), epoch, train_loss, validation.loss, last_validation_auc_,
                                 test_five ? test_five->auc : std::numeric_limits<double>::quiet_NaN()});
  }

  void save(const ArenaOptimizer& optimizer) {
    NamedTensors tensors = optimizer.checkpoint();
    for (const auto& [name, tensor] : best_weights_) tensors.emplace_back("best." + name, tensor);
    for (const auto& [name, tensor] : label_weights_) tensors.emplace_back("label." + name, tensor);
    context_.folder.save_checkpoint(step_, tensors, record_);
  }

  void restore(const Checkpoint<MilRecord>& checkpoint) {
    for (const auto& [name, tensor] : checkpoint.tensors) {
      if (name.starts_with("best.")) best_weights_.emplace_back(name.substr(5), tensor);
      if (name.starts_with("label.")) label_weights_.emplace_back(name.substr(6), tensor);
    }
    record_ = checkpoint.record;
  }

  void write_outputs() {
    const StateDict& labelling = label_weights_.empty() ? best_weights_ : label_weights_;
    load_state_dict(*model_, labelling);
    ScoreFile label_scores;
    for (std::size_t s = 0; s < context_.slides.size(); ++s)
      label_scores.add_instances(context_.slides[s].record.id, instance_scores(*model_, bags_.bag(s)));
    label_scores.write(context_.folder.to_write(task_.files.label_scores()));

    load_state_dict(*model_, best_weights_);
    ScoreFile scores;
    const NoGradGuard no_grad;
    for (const Split split : {Split::validation, Split::test}) {
      for (std::size_t s = 0; s < context_.slides.size(); ++s) {
        const SlideRecord& slide = context_.slides[s].record;
        if (slide.split != split) continue;
        const MilOutput output = forward(s);
        scores.add_slide(slide.id, slide_score(output));
        scores.add_instances(slide.id, instance_scores(output));
      }
    }
    scores.write(context_.folder.to_write(task_.files.scores()));
    save_mil(context_.folder.to_write(task_.files.mil()), *model_, config_.mil, record_.threshold);
  }

  RunContext& context_;
  const Config& config_;
  const MilTask& task_;
  Step<MilRecord> step_;
  Bags bags_;
  std::unique_ptr<MilModel> model_;
  MilLossWeights weights_;
  std::vector<std::size_t> positive_;
  std::vector<std::size_t> negative_;

  double last_validation_auc_ = 0;
  MilRecord record_;
  StateDict best_weights_;
  StateDict label_weights_;
};

}  // namespace

void train_mil(RunContext& context, const MilTask& task) {
  if (context.folder.done(task.files.mil_training())) return;
  MilTraining(context, task).run();
}

}  // namespace mt::train
