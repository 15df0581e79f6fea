#include "train/method/rounds.h"

#include <cstdio>
#include <filesystem>

#include "tensor/check.h"
#include "train/method/evaluate.h"
#include "train/method/stages/stages.h"

namespace mt::train {
namespace {

GateInput gate_input(const RunContext& context, const std::string& folder) {
  const StepRecord& record = context.folder.record("mil " + folder);
  GateInput input{record.numbers.at("validation_auc"),
                  record.numbers.at("validation_loss"),
                  record.numbers.at("validation_f1"),
                  {}};
  input.validation_scores =
      scored_slides(context.dataset, read_slide_scores(context, folder + "/scores.safetensors"),
                    Split::validation)
          .scores;
  return input;
}

std::string mil_label(const std::string& method, bool ranking, int64_t round) {
  return fmt::format("MIL {} {}", round == 0 ? "first round" : fmt::format("round {}", round),
                     round == 0 ? (ranking ? "+rank" : "") : method);
}

/// Removes the features of a round that nothing will read again: at full size they are gigabytes.
void drop_features(const RunContext& context, const std::string& folder) {
  std::error_code ignored;
  std::filesystem::remove_all(context.folder.path() / "features" / folder, ignored);
}

VariantResult run_variant(RunContext& context, const std::string& method, bool ranking,
                          const std::filesystem::path& initial) {
  const Config& config = context.config;
  VariantResult variant;
  variant.name = variant_name(method, ranking);
  variant.method = method;
  variant.ranking = ranking;
  std::vector<std::string> folders{round_folder(method, ranking, 0)};
  train_mil(context, {config.features.empty() ? "features/initial" : config.features, folders[0], ranking, 0,
                      mil_label(method, ranking, 0)});
  variant.rounds.resize(1);
  variant.rounds[0].accepted = true;

  if (method != "mil") {
    const std::vector<int> labels =
        scored_slides(context.dataset, read_slide_scores(context, folders[0] + "/scores.safetensors"),
                      Split::validation)
            .labels;
    std::filesystem::path encoder = initial;
    std::filesystem::path optimizer;
    GateInput best = gate_input(context, folders[0]);
    for (int64_t round = 1; round <= config.rounds; ++round) {
      const std::string folder = round_folder(method, ranking, round);
      FinetuneTask task{
          method,
          encoder,
          optimizer,
          folders[static_cast<std::size_t>(variant.selected_round)] + "/label_scores.safetensors",
          folder,
          round,
          variant.selected_round != 0};
      finetune(context, task);
      folders.push_back(folder);
      variant.rounds.emplace_back();
      encoder = context.folder.file(folder + "/encoder.safetensors");
      optimizer = context.folder.file(folder + "/optimizer.safetensors");
      // A round that was rolled back has the encoder of the round before: there is nothing new to embed.
      if (context.folder.record("finetune " + folder).numbers.at("collapsed") != 0) continue;
      const std::string features = variant.name + "/" + std::to_string(round);
      if (!context.folder.done("mil " + folder)) embed(context, encoder, "features/" + features);
      train_mil(context, {"features/" + features, folder, ranking, static_cast<uint64_t>(round),
                          mil_label(method, ranking, round)});
      const GateInput now = gate_input(context, folder);
      const bool accepted = passes_gate(config.gate, best, now, labels, config.seed);
      variant.rounds.back().accepted = accepted;
      if (accepted) {
        if (variant.selected_round != 0)
          drop_features(context, variant.name + "/" + std::to_string(variant.selected_round));
        variant.selected_round = round;
        best = now;
      } else {
        drop_features(context, features);
      }
    }
  }
  evaluate(context, folders, variant);
  return variant;
}

}  // namespace

std::string round_folder(const std::string& method, bool ranking, int64_t round) {
  if (round == 0) return std::string("rounds/initial") + (ranking ? "+ranking" : "");
  return "rounds/" + variant_name(method, ranking) + "/" + std::to_string(round);
}

RunResult run_method(RunContext& context) {
  const Config& config = context.config;
  RunResult result;
  result.config = config;
  std::filesystem::path initial;
  if (config.features.empty()) {
    const Shard shard = parse_shard(config.shard);
    if (shard.count > 1) {
      check(
          context.folder.done("pretrain") || config.pretrain == "none",
          "--shard: pre-training is not finished in {}; run it once without --shard first, or give --weights",
          config.run);
      initial = context.folder.path() / "encoders/initial.safetensors";
      if (!std::filesystem::exists(initial))
        save_encoder(context.folder.file("encoders/initial.safetensors"), make_encoder(config));
      embed(context, initial, "features/initial", shard);
      return result;
    }
    initial = pretrain(context);
    embed(context, initial, "features/initial");
  }
  struct Choice {
    std::string method;
    bool ranking;
  };
  std::vector<Choice> choices{{config.method, config.ranking == "on"}};
  if (config.ablation) {
    choices = {{"mil", false},    {"mil", true},  {"its2clr", false},
               {"its2clr", true}, {"hnm", false}, {"hnm", true}};
  }
  for (const Choice& choice : choices) {
    if (config.ablation) std::printf("%s\n", variant_name(choice.method, choice.ranking).c_str());
    result.variants.push_back(run_variant(context, choice.method, choice.ranking, initial));
  }
  for (const auto& entry : context.folder.records()) {
    const StepRecord& record = entry.second;
    const auto number = [&](const char* key) {
      const auto found = record.numbers.find(key);
      return found == record.numbers.end() ? int64_t{0} : static_cast<int64_t>(found->second);
    };
    result.stages.push_back({entry.first, record.seconds, number("updates"), number("images")});
  }
  return result;
}

}  // namespace mt::train
