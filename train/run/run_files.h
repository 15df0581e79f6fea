#pragma once
// Where everything in a run folder lies, and what its steps are called: each path and name is spelt here,
// once.

#include <cstdint>
#include <filesystem>
#include <string>

#include "train/run/records.h"

namespace mt::train {

/// One of the ways to train that an ablation compares.
struct Variant {
  Method method = Method::hnm;
  bool ranking = true;

  /// "hnm+ranking", "mil"
  std::string name() const;
  bool operator==(const Variant&) const = default;
};

/// A step that leaves a Record; its name is its key in state.json and its line in result.json.
template <typename Record>
struct Step {
  std::string name;
};

/// Files of the run as a whole.
class RunFiles {
 public:
  explicit RunFiles(std::filesystem::path folder) : folder_(std::move(folder)) {}

  const std::filesystem::path& folder() const { return folder_; }
  std::filesystem::path config() const { return folder_ / "config.toml"; }
  std::filesystem::path state() const { return folder_ / "state.json"; }
  std::filesystem::path log() const { return folder_ / "log.jsonl"; }
  std::filesystem::path lock() const { return folder_ / ".lock"; }
  std::filesystem::path result() const { return folder_ / "result.json"; }
  std::filesystem::path predictions() const { return folder_ / "predictions.csv"; }
  std::filesystem::path report() const { return folder_ / "report.html"; }
  /// The slides of --data phantom.
  std::filesystem::path phantom() const { return folder_ / "phantom"; }
  std::filesystem::path tiles(const std::string& slide_id) const;
  std::filesystem::path checkpoints() const { return folder_ / "checkpoints"; }
  std::filesystem::path checkpoint(int64_t number) const;
  /// What the run was made from, and its split for people.
  std::filesystem::path manifest() const { return folder_ / "manifest.json"; }
  std::filesystem::path split() const { return folder_ / "split.csv"; }
  /// The encoder of the first round: --weights, or what pre-training made of seeded values.
  std::filesystem::path initial_encoder() const { return folder_ / "encoders/initial.safetensors"; }

  Step<PretrainRecord> pretraining() const { return {"pretrain"}; }

 private:
  std::filesystem::path folder_;
};

/// Files of one round: an encoder, its features, the bag model trained on them and the scores it gives. In
/// round 0 there is no fine-tuning, and all methods share it.
class RoundFiles {
 public:
  RoundFiles(std::filesystem::path run, Variant variant, int64_t round);

  int64_t round() const { return round_; }
  /// "rounds/initial+ranking" or "rounds/hnm+ranking/2", as log.jsonl and the steps call it.
  const std::string& name() const { return name_; }

  std::filesystem::path encoder() const;
  /// Of fine-tuning; not in round 0.
  std::filesystem::path optimizer() const { return run_ / name_ / "optimizer.safetensors"; }
  /// "initial" or "hnm+ranking/2"
  std::string features_label() const;
  /// A folder with a file a slide.
  std::filesystem::path features() const { return run_ / features_; }
  std::filesystem::path features(const std::string& slide_id) const;
  /// The selected epoch's bag model, its feature centring and its threshold.
  std::filesystem::path mil() const { return run_ / name_ / "mil.safetensors"; }
  /// Bag and instance scores of validation and test slides by the selected epoch.
  std::filesystem::path scores() const { return run_ / name_ / "scores.safetensors"; }
  /// Instance scores of all slides by the labelling epoch: what the next round is mined from.
  std::filesystem::path label_scores() const { return run_ / name_ / "label_scores.safetensors"; }

  Step<EmbedRecord> embedding() const { return {"embed " + features_}; }
  Step<MilRecord> mil_training() const { return {"mil " + name_}; }
  Step<FinetuneRecord> finetuning() const { return {"finetune " + name_}; }

 private:
  std::filesystem::path run_;
  int64_t round_;
  std::string name_;
  std::string features_;  // inside of the run
};

}  // namespace mt::train
