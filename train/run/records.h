#pragma once
// What the steps of a run record: state.json holds these when a step is finished, a checkpoint holds one that
// is not finished yet, and result.json and the report tell from them.

#include <cstdint>
#include <limits>
#include <string>

#include "train/run/record.h"

namespace mt::train {

/// What every step cost.
struct StepCost {
  double seconds = 0;
  int64_t updates = 0;  // optimizer steps
  int64_t images = 0;
  std::string note;  // what a reader of the figures must know: memory ran out

  template <typename Self, typename Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    visitor("seconds", self.seconds);
    visitor("updates", self.updates);
    visitor("images", self.images);
    visitor("note", self.note);
  }
};

struct PretrainRecord : StepCost {};

struct EmbedRecord : StepCost {};

/// Training of the bag model on one round's features. Figures are those of the epoch of least validation
/// loss.
struct MilRecord : StepCost {
  int64_t epochs = 0;  // done
  int64_t best_epoch = 0;
  double validation_loss = std::numeric_limits<double>::infinity();
  double validation_auc = 0;
  double validation_f1 = 0;  // the best of any epoch
  double threshold = 0.5;    // on the slide score, by Youden's index on the validation slides
  int64_t test_optimal_epoch = 0;
  double test_optimal_auc = -1;
  double test_optimal_accuracy = 0;

  template <typename Self, typename Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    StepCost::visit(self, visitor);
    visitor("epochs", self.epochs);
    visitor("best_epoch", self.best_epoch);
    visitor("validation_loss", self.validation_loss);
    visitor("validation_auc", self.validation_auc);
    visitor("validation_f1", self.validation_f1);
    visitor("threshold", self.threshold);
    visitor("test_optimal_epoch", self.test_optimal_epoch);
    visitor("test_optimal_auc", self.test_optimal_auc);
    visitor("test_optimal_accuracy", self.test_optimal_accuracy);
  }
};

/// Fine-tuning of the encoder in one round. Counts and thresholds are those of the last epoch that was mined.
struct FinetuneRecord : StepCost {
  int64_t epochs = 0;      // done
  bool collapsed = false;  // the round was rolled back
  int64_t positives = 0;   // pseudo-positives
  int64_t hard_negatives = 0;
  double positive_threshold = 0;
  double negative_threshold = 0;
  double positive_share = 0;        // of positive-slide patches that passed the threshold
  bool fallback = false;            // --positive-fallback took effect
  double first_mean_direction = 0;  // squared norm of the mean embedding in the round's first step

  template <typename Self, typename Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    StepCost::visit(self, visitor);
    visitor("epochs", self.epochs);
    visitor("collapsed", self.collapsed);
    visitor("positives", self.positives);
    visitor("hard_negatives", self.hard_negatives);
    visitor("positive_threshold", self.positive_threshold);
    visitor("negative_threshold", self.negative_threshold);
    visitor("positive_share", self.positive_share);
    visitor("fallback", self.fallback);
    visitor("first_mean_direction", self.first_mean_direction);
  }
};

}  // namespace mt::train
