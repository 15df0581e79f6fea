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
#include "tensor/io/safetensors.h"
#include "tensor/rng.h"
#include "train/cli/interrupt.h"
#include "train/cli/progress.h"
#include "train/data/bags.h"
#include "train/figures/metrics.h"
#include "train/method/stages/stages.h"

namespace mt::train {
namespace {

double sigmoid(double x) {
  return 1 / (1 + std::exp(-x));
}

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
        step_name_("mil " + task.out),
        bags_(context.dataset,
              config_.features.empty() ? context.folder.path() / task.features
                                       : std::filesystem::path(task.features),
              config_.features.empty(), device_of(config_), config_.features_key) {
    if (config_.mil_features == "centred") {
      centring_ = bags_.centring_of_training_slides();
      bags_.set_centring(centring_);
    }
    // The same initial weights with and without ranking and for every method: a variant differs by what it is
    // named for only.
    model_ = make_mil_model(config_.mil, bags_.feature_width(),
                            mix64(config_.seed ^ hash64("mil") ^ task.round), device_of(config_));
    for (std::size_t s = 0; s < context.dataset.slides.size(); ++s) {
      const SlideRecord& slide = context.dataset.slides[s];
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
    int64_t epoch = 0;
    double seconds_before = 0;
    if (const auto checkpoint = context_.folder.checkpoint(step_name_)) {
      optimizer.restore(checkpoint->tensors);
      restore(*checkpoint);
      epoch = std::stoll(checkpoint->values.at("epoch"));
      seconds_before = checkpoint->seconds;
    }
    const Stopwatch watch(seconds_before);
    double saved_at = watch.seconds();
    Progress progress(task_.label, config_.mil_epochs, "epochs");
    progress.start_at(epoch);
    while (epoch < config_.mil_epochs) {
      const double loss = train_epoch(optimizer, epoch);
      judge(epoch, loss);
      ++epoch;
      progress.note(fmt::format("loss {:.3f}  validation AUC {:.3f}", loss, last_validation_auc_));
      progress.advance();
      if (watch.seconds() - saved_at >= config_.checkpoint_seconds && epoch < config_.mil_epochs) {
        save(optimizer, epoch, watch.seconds());
        saved_at = watch.seconds();
      }
    }
    write_outputs();
    StepRecord record;
    record.seconds = watch.seconds();
    record.numbers = {{"updates", static_cast<double>(optimizer.steps())},
                      {"epoch", static_cast<double>(best_epoch_)},
                      {"validation_loss", best_loss_},
                      {"validation_auc", best_auc_},
                      {"validation_f1", best_f1_},
                      {"threshold", threshold_},
                      {"test_optimal_epoch", static_cast<double>(test_optimal_epoch_)},
                      {"test_optimal_auc", test_optimal_auc_},
                      {"test_optimal_accuracy", test_optimal_accuracy_}};
    context_.folder.finish(step_name_, record);
  }

 private:
  MilOutput forward(std::size_t slide) { return model_->forward(Variable(bags_.bag(slide))); }

  /// One epoch: min(#positive, #negative) random pairs, drawn anew; or, as the public code does without
  /// ranking, single bags.
  double train_epoch(ArenaOptimizer& optimizer, int64_t epoch) {
    RandomStream random(config_.seed, Purpose::pairs, static_cast<uint32_t>(epoch), task_.round);
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
    if (!task_.ranking && config_.mil_steps == "single") {
      std::vector<std::size_t> all = positive;
      all.insert(all.end(), negative.begin(), negative.end());
      random.shuffle(std::span<std::size_t>(all));
      for (const std::size_t slide : all) {
        update(bag_loss(forward(slide), {static_cast<double>(context_.dataset.slides[slide].label)}, weights_)
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
    for (std::size_t s = 0; s < context_.dataset.slides.size(); ++s) {
      if (context_.dataset.slides[s].split != split) continue;
      check_interrupted();
      const int label = context_.dataset.slides[s].label;
      const MilOutput output = forward(s);
      result.slides.push_back(s);
      result.labels.push_back(label);
      result.scores.push_back(sigmoid(output.bag_logit.item()));
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
    best_f1_ = std::max(best_f1_, f1 ? f1->f1 : 0);
    if (test_five && test_five->auc > test_optimal_auc_) {
      test_optimal_auc_ = test_five->auc;
      test_optimal_accuracy_ = test_five->accuracy;
      test_optimal_epoch_ = epoch;
    }
    if (validation.loss < best_loss_) {
      best_loss_ = validation.loss;
      best_auc_ = last_validation_auc_;
      best_epoch_ = epoch;
      const auto youden = youden_threshold(validation.labels, validation.scores);
      threshold_ = youden ? youden->threshold : 0.5;
      best_weights_ = state_dict(*model_);
    }
    if (config_.mil_label_epoch > 0 && epoch == config_.mil_label_epoch) label_weights_ = state_dict(*model_);
    context_.folder.log(
        "mil_epoch",
        JsonObject()
            .add("out", task_.out)
            .add("epoch", epoch)
            .add("train_loss", train_loss)
            .add("validation_loss", validation.loss)
            .add("validation_auc", last_validation_auc_)
            .add("test_auc", test_five ? test_five->auc : std::numeric_limits<double>::quiet_NaN()));
  }

  void save(const ArenaOptimizer& optimizer, int64_t epoch, double seconds) {
    NamedTensors tensors = optimizer.checkpoint();
    for (const auto& [name, tensor] : best_weights_) tensors.emplace_back("best." + name, tensor);
    for (const auto& [name, tensor] : label_weights_) tensors.emplace_back("label." + name, tensor);
    const std::vector<double> figures{best_loss_, best_auc_,         best_f1_,
                                      threshold_, test_optimal_auc_, test_optimal_accuracy_};
    tensors.emplace_back("figures", Tensor::of(figures, {6}));
    context_.folder.save_checkpoint(step_name_, tensors,
                                    {{"epoch", std::to_string(epoch)},
                                     {"best_epoch", std::to_string(best_epoch_)},
                                     {"test_optimal_epoch", std::to_string(test_optimal_epoch_)}},
                                    seconds);
  }

  void restore(const RunFolder::Checkpoint& checkpoint) {
    for (const auto& [name, tensor] : checkpoint.tensors) {
      if (name.starts_with("best.")) best_weights_.emplace_back(name.substr(5), tensor);
      if (name.starts_with("label.")) label_weights_.emplace_back(name.substr(6), tensor);
    }
    const Tensor held = find_tensor(checkpoint.tensors, "figures");
    const auto figures = held.span<double>();
    best_loss_ = figures[0];
    best_auc_ = figures[1];
    best_f1_ = figures[2];
    threshold_ = figures[3];
    test_optimal_auc_ = figures[4];
    test_optimal_accuracy_ = figures[5];
    best_epoch_ = std::stoll(checkpoint.values.at("best_epoch"));
    test_optimal_epoch_ = std::stoll(checkpoint.values.at("test_optimal_epoch"));
  }

  void write_outputs() {
    const auto file = [&](const char* name) { return context_.folder.file(task_.out + "/" + name).string(); };
    const StateDict& labelling = label_weights_.empty() ? best_weights_ : label_weights_;
    load_state_dict(*model_, labelling);
    NamedTensors label_scores;
    for (std::size_t s = 0; s < context_.dataset.slides.size(); ++s) {
      label_scores.emplace_back(context_.dataset.slides[s].id, instance_scores(*model_, bags_.bag(s)));
    }
    write_safetensors(file("label_scores.safetensors"), label_scores);

    load_state_dict(*model_, best_weights_);
    NamedTensors scores;
    for (const Split split : {Split::validation, Split::test}) {
      const SplitScores slides = score(split);
      for (std::size_t i = 0; i < slides.slides.size(); ++i) {
        const std::string& id = context_.dataset.slides[slides.slides[i]].id;
        scores.emplace_back("slide." + id, Tensor::of(std::vector<double>{slides.scores[i]}, {1}));
        scores.emplace_back("instances." + id, instance_scores(*model_, bags_.bag(slides.slides[i])));
      }
    }
    write_safetensors(file("scores.safetensors"), scores);

    NamedTensors weights = best_weights_;
    if (centring_.mean.defined()) {
      weights.emplace_back("centring.mean", centring_.mean);
      weights.emplace_back("centring.factor", Tensor::of(std::vector<float>{centring_.factor}, {1}));
    }
    write_safetensors(
        file("mil.safetensors"), weights,
        {{"model", model_->describe()}, {"kind", config_.mil}, {"threshold", fmt::format("{}", threshold_)}});
  }

  RunContext& context_;
  const Config& config_;
  const MilTask& task_;
  std::string step_name_;
  Bags bags_;
  FeatureCentring centring_;
  std::unique_ptr<MilModel> model_;
  MilLossWeights weights_;
  std::vector<std::size_t> positive_;
  std::vector<std::size_t> negative_;

  double best_loss_ = std::numeric_limits<double>::infinity();
  double best_auc_ = 0;
  double best_f1_ = 0;
  double threshold_ = 0.5;
  double last_validation_auc_ = 0;
  double test_optimal_auc_ = -1;
  double test_optimal_accuracy_ = 0;
  int64_t best_epoch_ = 0;
  int64_t test_optimal_epoch_ = 0;
  StateDict best_weights_;
  StateDict label_weights_;
};

}  // namespace

void train_mil(RunContext& context, const MilTask& task) {
  if (context.folder.done("mil " + task.out)) return;
  MilTraining(context, task).run();
}

std::vector<std::vector<float>> read_instance_scores(const RunContext& context, const std::string& file) {
  const SafetensorsFile scores((context.folder.path() / file).string());
  std::vector<std::vector<float>> result(context.dataset.slides.size());
  for (std::size_t s = 0; s < result.size(); ++s) {
    const std::string& id = context.dataset.slides[s].id;
    const std::string name = scores.has(id) ? id : "instances." + id;
    if (!scores.has(name)) continue;
    const Tensor tensor = scores[name];
    const auto values = tensor.span<float>();
    result[s].assign(values.begin(), values.end());
  }
  return result;
}

std::vector<double> read_slide_scores(const RunContext& context, const std::string& file) {
  const SafetensorsFile scores((context.folder.path() / file).string());
  std::vector<double> result(context.dataset.slides.size(), std::numeric_limits<double>::quiet_NaN());
  for (std::size_t s = 0; s < result.size(); ++s) {
    const std::string name = "slide." + context.dataset.slides[s].id;
    if (scores.has(name)) result[s] = scores[name].item<double>();
  }
  return result;
}

}  // namespace mt::train
