#pragma once
// From scores to figures with intervals.

#include <span>

#include "train/run/context.h"
#include "train/run/result.h"

namespace mt::train {

/// Fills metrics, curves, rounds and test slides of a variant whose `selected_round` is set.
/// `rounds[r]` are the files of round r.
void evaluate(const RunContext& context, const std::vector<RoundFiles>& rounds, VariantResult& variant);

/// May a new round's pseudo-labels replace those of the best round so far?
struct GateInput {
  double validation_auc = 0;
  double validation_loss = 0;
  double validation_f1 = 0;
  std::vector<double> validation_scores;  // in the order of validation_labels
};
/// Gate f1: the F1 reaches the best of all rounds (the paper). auc_loss: the loss is lower, and the AUC
/// is not significantly worse (one-sided, 95 %, paired stratified bootstrap of the difference, seeded).
bool passes_gate(Gate gate, const GateInput& best, const GateInput& now,
                 const std::vector<int>& validation_labels, uint64_t seed);

/// Scores and labels of the slides of a split that have a score.
struct ScoredSlides {
  std::vector<std::size_t> slides;
  std::vector<int> labels;
  std::vector<double> scores;
  std::vector<std::string> cases;
};
ScoredSlides scored_slides(std::span<const TiledSlide> slides, const std::vector<double>& scores,
                           Split split);

}  // namespace mt::train
