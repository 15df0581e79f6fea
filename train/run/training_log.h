#pragma once
// The lines of log.jsonl: what training said on its way. Written through RunFolder::log, read by the report.

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "train/run/record.h"

namespace mt::train {

struct PretrainStep {
  static constexpr const char* kEvent = "pretrain_step";
  int64_t step = 0;
  double loss = 0;

  template <typename Self, typename Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    visitor("step", self.step);
    visitor("loss", self.loss);
  }
};

struct MilEpoch {
  static constexpr const char* kEvent = "mil_epoch";
  std::string out;  // RoundFiles::name()
  int64_t epoch = 0;
  double train_loss = 0;
  double validation_loss = 0;
  double validation_auc = 0;
  double test_auc = 0;

  template <typename Self, typename Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    visitor("out", self.out);
    visitor("epoch", self.epoch);
    visitor("train_loss", self.train_loss);
    visitor("validation_loss", self.validation_loss);
    visitor("validation_auc", self.validation_auc);
    visitor("test_auc", self.test_auc);
  }
};

struct FinetuneEpoch {
  static constexpr const char* kEvent = "finetune_epoch";
  std::string out;    // RoundFiles::name()
  int64_t epoch = 0;  // over all rounds
  int64_t steps = 0;
  double loss = 0;
  double learning_rate = 0;
  double mean_direction = 0;  // squared norm of the mean embedding
  int64_t positives = 0;
  int64_t paced_positives = 0;
  int64_t hard_negatives = 0;
  int64_t uncertain_negatives = 0;
  double positive_threshold = 0;
  double negative_threshold = 0;
  double positive_share = 0;
  bool fallback = false;
  bool collapsed = false;

  template <typename Self, typename Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    visitor("out", self.out);
    visitor("epoch", self.epoch);
    visitor("steps", self.steps);
    visitor("loss", self.loss);
    visitor("learning_rate", self.learning_rate);
    visitor("mean_direction", self.mean_direction);
    visitor("positives", self.positives);
    visitor("paced_positives", self.paced_positives);
    visitor("hard_negatives", self.hard_negatives);
    visitor("uncertain_negatives", self.uncertain_negatives);
    visitor("positive_threshold", self.positive_threshold);
    visitor("negative_threshold", self.negative_threshold);
    visitor("positive_share", self.positive_share);
    visitor("fallback", self.fallback);
    visitor("collapsed", self.collapsed);
  }
};

struct DeviceSwitch {
  static constexpr const char* kEvent = "device";
  std::string from;
  std::string to;

  template <typename Self, typename Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    visitor("from", self.from);
    visitor("to", self.to);
  }
};

struct TrainingLog {
  std::vector<PretrainStep> pretraining;
  std::map<std::string, std::vector<MilEpoch>> mil;            // by round
  std::map<std::string, std::vector<FinetuneEpoch>> finetune;  // by round
};

/// What log.jsonl says. Lines that are cut off (a run was killed) or of another kind are left out; null,
/// which stands for NaN and infinities, is NaN.
TrainingLog read_log(const std::filesystem::path& file);

}  // namespace mt::train
