#include <fmt/format.h>

#include <limits>

#include "train/report/sections.h"
#include "train/run/training_log.h"

namespace mt::train {
namespace {

Curve curve_of(const char* label, const char* colour, bool dashed = false) {
  Curve curve;
  curve.label = label;
  curve.colour = colour;
  curve.dashed = dashed;
  return curve;
}

/// Appends a round's epochs behind those before it, with a gap, so that rounds are not joined by a line.
void append_round(Curve& curve, const std::vector<MilEpoch>& epochs, double MilEpoch::*value,
                  std::size_t epochs_before) {
  for (std::size_t i = 0; i < epochs.size(); ++i) {
    curve.x.push_back(static_cast<double>(epochs_before + i + 1));
    curve.y.push_back(epochs[i].*value);
  }
  curve.x.push_back(std::numeric_limits<double>::quiet_NaN());
  curve.y.push_back(std::numeric_limits<double>::quiet_NaN());
}

std::string variant_plots(const RunContext& context, const TrainingLog& log, const RunResult& result,
                          const VariantResult& variant) {
  Plot loss;
  loss.title = "MIL loss";
  loss.x_label = "epochs, all rounds";
  loss.whole_x = true;
  Plot auc = loss;
  auc.title = "MIL validation AUC";
  auc.y_range = {0.0, 1.0};
  Plot finetune;
  finetune.title = "Fine-tuning loss";
  finetune.x_label = "fine-tuning epoch";
  finetune.whole_x = true;
  Plot direction = finetune;
  direction.title = result.config.collapse_at > 0 ? "Collapse monitor: squared norm of the mean embedding"
                                                  : "Squared norm of the mean embedding";
  direction.y_range = {0.0, 1.0};
  if (result.config.collapse_at > 0) {
    direction.lines.push_back({GuideLine::Kind::horizontal, result.config.collapse_at, "collapse"});
  }
  Curve train = curve_of("training", kBlue, true);
  Curve validation = curve_of("validation", kVermilion);
  Curve validation_auc = curve_of("", kVermilion);
  Curve finetune_loss = curve_of("", kGreen);
  Curve mean_direction = curve_of("", kPurple);
  finetune_loss.dots = mean_direction.dots = variant.rounds.size() < 10;
  std::size_t epochs = 0;
  for (const RoundResult& round : variant.rounds) {
    const std::string name = context.folder.round(variant.variant(), round.round).name();
    if (const auto mil = log.mil.find(name); mil != log.mil.end()) {
      append_round(train, mil->second, &MilEpoch::train_loss, epochs);
      append_round(validation, mil->second, &MilEpoch::validation_loss, epochs);
      append_round(validation_auc, mil->second, &MilEpoch::validation_auc, epochs);
      if (variant.rounds.size() > 1) {
        const GuideLine begin{GuideLine::Kind::vertical, static_cast<double>(epochs) + 0.5,
                              variant.rounds.size() <= 8 ? std::to_string(round.round) : ""};
        loss.lines.push_back(begin);
        auc.lines.push_back(begin);
      }
      epochs += mil->second.size();
    }
    if (const auto tuned = log.finetune.find(name); tuned != log.finetune.end()) {
      for (const FinetuneEpoch& epoch : tuned->second) {
        finetune_loss.x.push_back(static_cast<double>(epoch.epoch + 1));
        finetune_loss.y.push_back(epoch.loss);
        mean_direction.x.push_back(static_cast<double>(epoch.epoch + 1));
        mean_direction.y.push_back(epoch.mean_direction);
      }
    }
  }
  loss.curves = {train, validation};
  auc.curves = {validation_auc};
  finetune.curves = {finetune_loss};
  direction.curves = {mean_direction};
  std::string html = draw_plot(loss) + draw_plot(auc);
  if (!finetune_loss.x.empty()) html += draw_plot(finetune) + draw_plot(direction);
  return "<div class=\"plots\">\n" + html + "</div>\n";
}

/// One point a round, all variants: does fine-tuning help on the validation slides?
std::string rounds_plots(const RunResult& result) {
  Plot auc;
  auc.title = "Validation AUC by round";
  auc.x_label = "round";
  auc.whole_x = true;
  auc.y_range = {0.0, 1.0};
  Plot loss;
  loss.title = "Validation loss by round";
  loss.x_label = "round";
  loss.whole_x = true;
  for (const VariantResult& variant : result.variants) {
    Curve curve = variant_curve(variant);
    curve.dots = true;
    for (const RoundResult& round : variant.rounds) {
      curve.x.push_back(static_cast<double>(round.round));
      curve.y.push_back(round.validation_auc());
    }
    auc.curves.push_back(curve);
    curve.y.clear();
    for (const RoundResult& round : variant.rounds) curve.y.push_back(round.validation_loss());
    loss.curves.push_back(std::move(curve));
  }
  return "<div class=\"plots\">\n" + draw_plot(auc) + draw_plot(loss) + "</div>\n";
}

}  // namespace

std::string training_section(const RunContext& context, const RunResult& result) {
  const TrainingLog log = read_log(context.folder.files().log());
  std::string html = "<section id=\"training\">\n<h2>Training</h2>\n";
  if (result.variants.size() > 1) {
    html += rounds_plots(result);
    for (const VariantResult& variant : result.variants)
      html += details(variant.name, variant_plots(context, log, result, variant));
  } else {
    html += variant_plots(context, log, result, result.variants.at(0));
  }
  bool rounds = false;
  for (const VariantResult& variant : result.variants) rounds |= variant.rounds.size() > 1;
  if (rounds)
    html +=
        "<p class=\"hint\">Dotted vertical lines: a round begins; its number stands beside. Each round "
        "trains a new MIL model on the features of the newly fine-tuned encoder.</p>\n";
  if (!log.finetune.empty() && result.config.finetune_loss == FinetuneLoss::joint)
    html +=
        "<p class=\"hint\">The joint loss takes the mean off the embeddings before it compares "
        "them: a squared norm near 1 before that is no collapse.</p>\n";
  if (!log.pretraining.empty()) {
    Plot pretrain;
    pretrain.title = "Pre-training: contrastive loss";
    pretrain.x_label = "step";
    pretrain.whole_x = true;
    Curve curve = curve_of("", kBlue);
    for (const PretrainStep& step : log.pretraining) {
      curve.x.push_back(static_cast<double>(step.step));
      curve.y.push_back(step.loss);
    }
    pretrain.curves.push_back(binned_mean(std::move(curve), 300));
    html += "<div class=\"plots\">\n" + draw_plot(pretrain) + "</div>\n";
  } else {
    html += "<p class=\"hint\">No pre-training in this run.</p>\n";
  }
  return html + "</section>\n";
}

}  // namespace mt::train
