#include "train/method/rounds.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "tensor/check.h"
#include "train/method/evaluate.h"
#include "train/method/stages/stages.h"
#include "train/run/score_files.h"

namespace mt::train {
namespace {

GateInput gate_input(const RunContext& context, const RoundFiles& files) {
  const MilRecord record = context.folder.record(files.mil_training());
  GateInput input{record.validation_auc, record.validation_loss, record.validation_f1, {}};
  input.validation_scores =
      scored_slides(context.slides, read_slide_scores(context.folder.checked(files.scores()), context.slides),
                    Split::validation)
          .scores;
  return input;
}

std::string mil_label(Variant variant, int64_t round) {
  return round == 0 ? fmt::format("MIL first round {}", variant.ranking ? "+rank" : "")
                    : fmt::format("MIL round {} {}", round, choice_name(variant.method));
}

/// Removes the features of a round that nothing will read again: at full size they are gigabytes.
void drop_features(const RoundFiles& files) {
  std::error_code ignored;
  std::filesystem::remove_all(files.features(), ignored);
}

void train_first_mil(RunContext& context, Variant variant) {
  train_mil(context, {context.folder.round(variant, 0), variant.ranking, mil_label(variant, 0)});
}

VariantResult run_variant(RunContext& context, Variant variant) {
  const Config& config = context.config;
  VariantResult result;
  result.name = variant.name();
  result.method = variant.method;
  result.ranking = variant.ranking;
  std::vector<RoundFiles> rounds{context.folder.round(variant, 0)};
  train_first_mil(context, variant);
  result.rounds.resize(1);
  result.rounds[0].accepted = true;

  if (variant.method != Method::mil) {
    const std::vector<int> labels =
        scored_slides(context.slides,
                      read_slide_scores(context.folder.checked(rounds[0].scores()), context.slides),
                      Split::validation)
            .labels;
    GateInput best = gate_input(context, rounds[0]);
    for (int64_t round = 1; round <= config.rounds; ++round) {
      const RoundFiles files = context.folder.round(variant, round);
      const RoundFiles selected = context.folder.round(variant, result.selected_round);
      finetune(context, {variant.method, files, rounds.back(), selected});
      rounds.push_back(files);
      result.rounds.emplace_back();
      // A round that was rolled back has the encoder of the round before: there is nothing new to embed.
      if (context.folder.record(files.finetuning()).collapsed) continue;
      if (!context.folder.done(files.mil_training())) embed(context, files);
      train_mil(context, {files, variant.ranking, mil_label(variant, round)});
      const GateInput now = gate_input(context, files);
      const bool accepted = passes_gate(config.gate, best, now, labels, config.seed);
      result.rounds.back().accepted = accepted;
      if (accepted) {
        if (result.selected_round != 0) drop_features(selected);
        result.selected_round = round;
        best = now;
      } else {
        drop_features(files);
      }
    }
  }
  evaluate(context, rounds, result);
  return result;
}

}  // namespace

RunResult run_method(RunContext& context) {
  const Config& config = context.config;
  RunResult result;
  result.config = config;
  const RoundFiles first = context.folder.round({}, 0);
  if (config.features.empty()) {
    const Shard shard = parse_shard(config.shard);
    if (shard.count > 1) {
      check(context.folder.done(context.folder.files().pretraining()) || config.pretrain == Pretraining::none,
            "--shard: pre-training is not finished in {}; run it once with --until pretrain first, or give "
            "--weights",
            config.run);
      if (!std::filesystem::exists(first.encoder()))
        save_encoder(context.folder.to_write(first.encoder()), make_encoder(config));
      embed(context, first, shard);
      return result;
    }
    pretrain(context);
    if (config.until == Until::pretrain) return result;
  }
  std::vector<Variant> variants{{config.method, config.ranking == Ranking::on}};
  if (config.ablation) {
    variants.clear();
    for (const Choice<Method>& method : choices_of<Method>) {
      for (const bool ranking : {false, true}) variants.push_back({method.value, ranking});
    }
  }
  const auto wants_features = [&](Variant variant) {
    return !context.folder.done(context.folder.round(variant, 0).mil_training());
  };
  if (config.features.empty() && std::any_of(variants.begin(), variants.end(), wants_features))
    embed(context, first);
  if (config.until == Until::embed) return result;
  for (const Variant variant : variants) {
    if (config.ablation) std::printf("%s\n", variant.name().c_str());
    if (config.until == Until::mil) {
      train_first_mil(context, variant);
    } else {
      result.variants.push_back(run_variant(context, variant));
    }
  }
  if (config.until == Until::mil) return result;
  for (const auto& [name, cost] : context.folder.costs())
    result.stages.push_back({name, cost.seconds, cost.updates, cost.images});
  return result;
}

}  // namespace mt::train
