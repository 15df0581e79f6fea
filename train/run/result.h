#pragma once
// What a run found out: the one structure behind the summary table, result.json and the report.

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "train/data/patches.h"
#include "train/figures/intervals.h"
#include "train/settings/config.h"

namespace mt::train {

/// A figure with its 95 % interval. No value: it could not be measured, and `interval->method` or `note` says
/// why.
struct Metric {
  std::string name;  // "slide_auc", "instance_average_precision", …
  std::optional<double> value;
  std::optional<Interval> interval;
  std::string note;
};

struct SlideScore {
  std::string id;
  int label = 0;
  double score = 0;  // sigmoid of the bag logit
};

/// Counts by tissue or truth of what was mined, where truth is known.
struct Enrichment {
  std::string name;        // "germinal centre", "tumour"
  double share_mined = 0;  // among the mined patches
  double share_all = 0;    // among all patches that could have been mined
};

/// One embed → MIL pass and the mining and fine-tuning before it (round 0 has none).
struct RoundResult {
  int64_t round = 0;
  double validation_auc = 0;
  double validation_loss = 0;
  bool accepted = false;   // its pseudo-labels were taken
  bool collapsed = false;  // fine-tuning was stopped and rolled back
  int64_t finetune_epochs = 0;
  int64_t updates = 0;  // optimizer steps of fine-tuning
  int64_t images = 0;   // patches seen by fine-tuning, each in two views
  double finetune_seconds = 0;
  int64_t positives = 0;
  int64_t hard_negatives = 0;
  std::optional<double>
      positive_precision;  // share of true tumour among pseudo-positives, where truth is known
  std::vector<Enrichment> negative_enrichment;
  std::vector<std::pair<PatchId, float>> top_hard_negatives;  // best first, for the gallery
  std::vector<std::pair<PatchId, float>> top_positives;
};

struct VariantResult {
  std::string name;  // "hnm+ranking"
  std::string method;
  bool ranking = false;
  int64_t selected_round = 0;
  int64_t selected_epoch = 0;   // of MIL training, by validation loss
  double threshold = 0;         // on the slide score, chosen on validation
  std::vector<Metric> metrics;  // on the test slides, selected on validation: report these first
  std::vector<Metric>
      test_optimal;  // epoch and threshold chosen on the test set: for comparison with papers only
  std::vector<SlideScore> test_slides;
  std::vector<int> instance_labels;     // test patches with known truth …
  std::vector<double> instance_scores;  // … and their scores, for curves
  std::vector<RoundResult> rounds;
  std::string weights_sha256;
};

struct StageTime {
  std::string name;
  double seconds = 0;
  int64_t updates = 0;
  int64_t images = 0;
};

struct RunResult {
  Config config;
  std::array<std::string, 2> classes{"normal", "tumour"};  // what labels 0 and 1 are called
  int64_t threads = 0;                                     // of the process that wrote this
  std::string device;                                      // "NVIDIA H100 80GB HBM3, sm_90", or "the CPU"
  std::string instruction_set;  // of the CPU kernels: results are bitwise equal within one
  int64_t slides_train = 0;
  int64_t slides_validation = 0;
  int64_t slides_test = 0;
  int64_t slides_left_out = 0;
  std::vector<std::string> notes;
  std::vector<StageTime> stages;
  std::vector<VariantResult> variants;
};

/// RUN/result.json; docs/result.schema.json is its schema.
std::string to_json(const RunResult& result);
/// The table at the end of a run.
std::string summary_table(const RunResult& result);

}  // namespace mt::train
