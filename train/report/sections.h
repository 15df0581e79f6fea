#pragma once
// The sections of the report, one file each. Each returns HTML and is complete without the others.

#include <string>

#include "train/report/html.h"
#include "train/report/report.h"
#include "train/report/svg_plot.h"

namespace mt::train {

// results_section.cc
/// Title, the result in one sentence, key figures, warnings.
std::string title_section(const RunResult& result);
/// Every figure of every variant with its interval; test-optimal figures beside.
std::string results_section(const RunResult& result);

// data_section.cc
/// Slides, cases, patches by split; when, where, with what program and command.
std::string data_section(const RunContext& context, const RunResult& result);
/// What each word of the page means, to unfold.
std::string words_section(const RunResult& result);

// calls_section.cc
/// Confusion matrices; scores of the test slides beside the threshold.
std::string calls_section(const RunResult& result);

// curves_section.cc
/// ROC and precision-recall of slides and of patches.
std::string curves_section(const RunResult& result);

// training_section.cc
/// What log.jsonl says: pre-training, MIL, fine-tuning, and the collapse monitor.
std::string training_section(const RunContext& context, const RunResult& result);

// mining_section.cc
/// Rounds: what was mined with which thresholds, how right it was, and what came of it.
std::string mining_section(const RunContext& context, const RunResult& result);

// gallery_section.cc
/// Pictures of the best-scored hard negatives and positives of each round.
std::string gallery_section(RunContext& context, const RunResult& result, ByteBudget& budget);

// slides_section.cc
/// Test slides: truth beside heatmaps, the most informative first; then a list.
std::string slides_section(RunContext& context, const RunResult& result, const ReportLimits& limits,
                           ByteBudget& budget);
/// Scores and calls of all test slides, as text.
std::string slide_list(const RunResult& result, std::size_t most_rows);

// appendix_section.cc
/// Times, notes, configuration, versions.
std::string appendix_section(const RunContext& context, const RunResult& result, const ReportLimits& limits);

// style.cc
const char* report_style();

// Shared by sections.

/// The variant that the configuration names; of an ablation the one that --method and --ranking name.
const VariantResult& headline_variant(const RunResult& result);
const Metric* find_metric(const std::vector<Metric>& metrics, const std::string& name);
/// Colour by method, dashed without ranking.
Curve variant_curve(const VariantResult& variant);
/// Labels of the test slides called by the variant's threshold.
bool called_positive(const VariantResult& variant, const SlideScore& slide);

}  // namespace mt::train
