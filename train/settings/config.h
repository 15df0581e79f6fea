#pragma once
// Everything that decides what a run computes, with the presets that fill it in.

#include <cstdint>
#include <string>
#include <vector>

#include "tensor/device.h"
#include "train/settings/choices.h"

namespace mt::train {

/// The --data that train writes itself.
inline constexpr const char* kPhantom = "phantom";

/// The effective settings of a run. Every member is a flag of `train`, a key of config.toml, and listed once
/// in visit_options(). Lengths are in patches, pixels or epochs as the flag's help says.
struct Config {
  // What is done.
  std::string data;  // phantom | camelyon16 | a table of slides
  Preset preset = Preset::not_given;
  Method method = Method::hnm;
  Ranking ranking = Ranking::on;
  bool ablation = false;  // all of method × ranking
  MilKind mil = MilKind::dsmil;
  Pretraining pretrain = Pretraining::by_weights;

  // Slides.
  std::string root;
  std::string labels;
  std::string splits;
  std::string positive;  // name of the positive class; empty: known words
  std::string features;
  std::string features_key;  // dataset of the features in their files; empty: features, feats or embeddings
  std::string mpp;           // a number, or native:LEVEL
  double mpp_override = 0;   // 0: none
  int64_t patch = 224;
  int64_t overlap = 0;  // pixels that neighbouring patches share
  double min_tissue = 0.5;
  double tumour_overlap = 0.5;
  std::string tumour_groups;  // further names of annotation groups that are tumour, comma-separated
  bool skip_bad_slides = false;
  std::string phantom_slides = "100/30/50";
  PhantomTumour phantom_difficulty = PhantomTumour::ordinary;

  // Encoder.
  Backbone encoder = Backbone::resnet18;
  int64_t width = 64;
  NormKind norm = NormKind::instance;
  BatchStatistics bn = BatchStatistics::frozen;  // of BatchNorm while training
  int64_t layer4_stride = 2;
  int64_t head_hidden = 512;
  int64_t head_output = 256;
  std::string weights;
  Channels channels = Channels::rgb;

  // The run.
  std::string run;
  uint64_t seed = 1;
  int64_t threads = 0;
  Device device = Device::cpu;
  KernelChoice kernels = KernelChoice::automatic;
  int64_t gpu = -1;            // which one cuda is; -1: the first
  bool switch_device = false;  // go on in a run folder of another device
  int64_t device_memory = 0;   // MiB of tensors on the device; 0: no limit
  std::string shard;
  Until until = Until::end;  // the stage after which to stop
  bool dry_run = false;
  double checkpoint_seconds = 20;

  // Recipe: pre-training.
  int64_t pretrain_steps = 150;
  int64_t pretrain_batch = 128;
  double pretrain_lr = 3e-3;
  double pretrain_temperature = 0.1;

  // Recipe: random views.
  double view_crop = 0.08;
  double view_jitter = 0.8;
  double view_blur = 0.5;
  double view_stain = 0;
  bool view_turns = false;

  // Recipe: MIL.
  int64_t mil_epochs = 350;
  double mil_lr = 2e-4;
  double mil_weight_decay = 1e-4;
  double mil_halve_every = 37.5;  // epochs
  int64_t mil_label_epoch = 0;    // 0: the epoch of best validation loss
  MilFeatures mil_features = MilFeatures::raw;
  MilSteps mil_steps = MilSteps::pairs;  // single: without ranking, as the public code
  int64_t rank_k = 10;
  double rank_weight = 0.1;

  // Recipe: mining and fine-tuning.
  int64_t rounds = 19;
  int64_t round_epochs = 5;
  int64_t warmup_epochs = 5;
  double positive_threshold = 0.3;
  double positive_fallback = 0.06;  // 0: none
  double positive_start = 0.2;
  double positive_end = 0.8;
  double negative_ratio = 0.2;
  double random_negatives = 0;
  bool uncertain_negatives = false;
  FinetuneLoss finetune_loss = FinetuneLoss::joint;
  int64_t finetune_batch = 64;
  double finetune_positives = 0.5;
  double finetune_positives_two = 0.05;
  double finetune_temperature = 0.2;
  double finetune_lr = 0.01;
  double finetune_momentum = 0.9;
  double finetune_weight_decay = 1e-4;
  int64_t finetune_cosine_from = 0;  // epoch at which the cosine starts
  Gate gate = Gate::auc_loss;
  bool finetune_on_validation = false;
  double collapse_at = 0.95;  // log ‖mean z‖² above this stops the round; 0: never
  int64_t chunk = 64;         // images per gradient chunk
};

/// What visit_options() says of one member.
struct OptionText {
  const char* name;   // flag without "--", and key of config.toml
  const char* group;  // heading in --help
  const char* help;
  /// Must be the same when a run folder is used again.
  bool identity = true;
  /// Names an input, whose content is compared (run/manifest.h): of the text only its kind must be the same.
  bool by_content = false;
};

/// Calls visitor(text, member) for every option of the configuration, in the order of --help. Its body is in
/// config_options.h, which only those include who call it: it holds the help texts.
template <typename C, typename Visitor>
void visit_options(C& c, Visitor&& visit);

/// The settings of a preset for a kind of data ("phantom", "camelyon16", or a CSV file's name), before any
/// other flag.
Config preset_config(Preset preset, const std::string& data);

/// Checks what no single flag can: shapes that fit together, files that must be given (what --data names is
/// dataset_kind()'s). Throws UsageError.
void validate(const Config& config);

/// The whole configuration as TOML, grouped, in --help's order.
std::string to_toml(const Config& config);

/// Names and values of the identity keys in which two configurations differ: "seed: 1 in the folder, 2 now".
/// The device is none of them under --switch-device.
std::vector<std::string> identity_differences(const Config& in_folder, const Config& now);

/// Hash of all that identity_differences() compares.
std::string settings_sha256(const Config& config);

}  // namespace mt::train
