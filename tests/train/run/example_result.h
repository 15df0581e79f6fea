#pragma once
// A result with everything in it that a run can find out, for tests of what is written from it.

#include "train/run/result.h"

namespace mt::train {

inline VariantResult example_variant(Method method, bool ranking, double slide_auc) {
  VariantResult variant;
  variant.name = Variant{method, ranking}.name();
  variant.method = method;
  variant.ranking = ranking;
  variant.selected_epoch = 3;
  variant.threshold = 0.5;
  variant.weights_sha256 = std::string(64, ranking ? 'a' : 'b');
  variant.metrics = {
      {"slide_auc", slide_auc, Interval{0.41, 0.93, "a bootstrap"}, ""},
      {"accuracy", slide_auc - 0.1, Interval{0.37, 0.88, "Wilson score interval"}, ""},
      {"sensitivity", std::nullopt, std::nullopt, "no slide of this class"},
      {"instance_auc", slide_auc - 0.2, Interval{0.31, 0.72, "a bootstrap"}, ""},
      {"instance_average_precision", slide_auc - 0.3, Interval{0.21, 0.62, "a bootstrap"}, ""},
  };
  variant.test_optimal = {{"slide_auc", slide_auc + 0.05, std::nullopt, "epoch chosen on the test slides"}};
  variant.instance_labels = {0, 1, 0, 1};
  variant.instance_scores = {0.1, 0.9, 0.3, 0.2};
  RoundResult first;
  first.mil.emplace();
  first.mil->validation_auc = 0.75;
  first.mil->validation_loss = 0.625;
  first.accepted = true;
  first.positives = 12;
  first.hard_negatives = 34;
  first.positive_precision = 0.25;
  first.negative_enrichment = {{"germinal centre", 0.5, 0.125}, {"stroma", 0.5, 0.875}};
  variant.rounds = {first};
  if (method != Method::mil) {
    RoundResult second = first;
    second.round = 1;
    second.finetune.emplace();
    second.finetune->collapsed = true;
    second.finetune->epochs = 2;
    second.finetune->updates = 8;
    second.finetune->images = 3000;
    second.finetune->seconds = 5;
    second.finetune->positives = 17;
    second.finetune->positive_threshold = 0.7125;
    second.finetune->hard_negatives = 23;
    second.finetune->negative_threshold = 0.6375;
    second.positive_precision.reset();
    variant.rounds.push_back(second);
    variant.selected_round = 1;
  }
  return variant;
}

/// Two variants; `slides` become the test slides, alternately normal and tumour.
inline RunResult example_result(const std::vector<std::string>& slides) {
  RunResult result;
  result.config = preset_config(Preset::tiny, "phantom");
  result.config.data = "phantom";
  result.device = "the CPU";
  result.instruction_set = "EXAMPLE";
  result.threads = 2;
  result.slides_train = 2;
  result.slides_validation = 2;
  result.slides_test = static_cast<int64_t>(slides.size());
  result.slides_left_out = 1;
  result.notes = {"a note with <b>markup</b> & \"quotes\""};
  result.stages = {{"pretrain", 12.5, 10, 320}, {"mil rounds/initial", 2, 40, 0}};
  result.variants = {example_variant(Method::mil, false, 0.812), example_variant(Method::hnm, true, 0.873)};
  for (VariantResult& variant : result.variants) {
    for (std::size_t s = 0; s < slides.size(); ++s)
      variant.test_slides.push_back({slides[s], static_cast<int>(s % 2), s < 2 ? 0.7 : 0.2, slides[s]});
  }
  return result;
}

}  // namespace mt::train
