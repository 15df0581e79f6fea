#pragma once
// What a run found out: the one structure behind the summary table, result.json and the report.

#include <array>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "train/data/patches.h"
#include "train/figures/intervals.h"
#include "train/run/facts.h"
#include "train/run/run_files.h"
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
  std::string case_id;
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
  bool accepted = false;                   // its pseudo-labels were taken
  std::optional<FinetuneRecord> finetune;  // not in the first round
  std::optional<MilRecord> mil;            // not where fine-tuning was rolled back
  // What the scores of this round would mine.
  int64_t positives = 0;
  int64_t hard_negatives = 0;
  /// Share of true tumour among pseudo-positives, where truth is known.
  std::optional<double> positive_precision;
  std::vector<Enrichment> negative_enrichment;
  std::vector<std::pair<PatchId, float>> top_hard_negatives;  // best first, for the gallery
  std::vector<std::pair<PatchId, float>> top_positives;

  bool collapsed() const { return finetune && finetune->collapsed; }
  /// NaN where there is no model.
  double validation_auc() const { return mil ? mil->validation_auc : std::nan(""); }
  double validation_loss() const { return mil ? mil->validation_loss : std::nan(""); }
};

/// What was selected of a variant: the part of result.json that is read again.
struct Selection {
  std::string name;  // "hnm+ranking"
  Method method = Method::hnm;
  bool ranking = false;
  int64_t selected_round = 0;
  int64_t selected_epoch = 0;  // of MIL training, by validation loss
  double threshold = 0;        // on the slide score, chosen on validation
  std::string weights_sha256;

  Variant variant() const { return {method, ranking}; }
  template <typename Self, typename Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    visitor("name", self.name);
    visitor("method", self.method);
    visitor("ranking", self.ranking);
    visitor("selected_round", self.selected_round);
    visitor("selected_epoch", self.selected_epoch);
    visitor("threshold", self.threshold);
    visitor("weights_sha256", self.weights_sha256);
  }
};

struct VariantResult : Selection {
  std::vector<Metric> metrics;  // on the test slides, selected on validation: report these first
  /// Epoch and threshold chosen on the test set: for comparison with papers only.
  std::vector<Metric> test_optimal;
  std::vector<SlideScore> test_slides;
  std::vector<int> instance_labels;     // test patches with known truth …
  std::vector<double> instance_scores;  // … and their scores, for curves
  std::vector<RoundResult> rounds;
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
  RunFacts facts;
  std::vector<std::string> notes;
  std::vector<StageTime> stages;
  std::vector<VariantResult> variants;
};

/// RUN/result.json; docs/result.schema.json is its schema.
std::string to_json(const RunResult& result);
/// What predict must know of a result.json.
struct ResultSummary {
  std::array<std::string, 2> classes;
  std::vector<Selection> variants;
};
/// Throws Error naming the file.
ResultSummary read_result(const std::filesystem::path& result_json);
/// variant,slide_id,label,score,threshold,call of every test slide, for spreadsheets.
std::string predictions_csv(const RunResult& result);
/// The table at the end of a run.
std::string summary_table(const RunResult& result);

}  // namespace mt::train
