#include "train/settings/config.h"

#include <cmath>
#include <filesystem>
#include <optional>
#include <type_traits>

#include "tensor/check.h"
#include "tensor/io/sha256.h"
#include "tensor/parallel.h"
#include "tensor/text.h"
#include "train/settings/config_options.h"
#include "train/settings/toml.h"

namespace mt::train {
namespace {

// Method section 2 of the paper; where its public code deviates, docs/paper.md lists it.
void apply_paper(Config& c) {
  c.pretrain_steps = 20000;
  c.pretrain_batch = 256;
  c.pretrain_lr = 1e-3;
  c.pretrain_temperature = 0.5;
  c.view_crop = 0.08;
  c.view_jitter = 0.8;
  c.view_blur = 0.5;
  c.view_stain = 0;
  c.mil_epochs = 350;
  c.mil_lr = 2e-4;
  c.mil_weight_decay = 1e-4;
  c.mil_halve_every = 37.5;
  c.mil_label_epoch = 199;
  c.mil_features = MilFeatures::raw;
  c.mil_steps = MilSteps::single;
  c.rounds = 20;
  c.round_epochs = 5;
  c.warmup_epochs = 5;
  c.positive_fallback = 0;
  c.negative_ratio = 0.2;
  c.random_negatives = 0;
  c.uncertain_negatives = true;
  c.finetune_loss = FinetuneLoss::two_step;
  c.finetune_batch = 512;
  c.finetune_positives = 0.2;
  c.finetune_positives_two = 0.05;
  c.finetune_temperature = 0.07;
  c.finetune_lr = 0.01;
  c.finetune_momentum = 0;
  c.finetune_cosine_from = 10;
  c.gate = Gate::f1;
  c.finetune_on_validation = true;
}

// Recipe J of a trial on synthetic slides: a deviation from the paper, listed in docs/paper.md.
void apply_fast(Config& c) {
  c.view_crop = 0.5;
  c.view_jitter = 0.4;
  c.view_blur = 0.5;
  c.view_stain = 0.2;
  c.view_turns = true;
  c.mil_epochs = 20;
  c.mil_lr = 2e-3;
  c.mil_halve_every = 5;
  c.mil_features = MilFeatures::centred;
  c.rounds = 2;
  c.round_epochs = 6;
  c.warmup_epochs = 0;
  c.random_negatives = 0.2;
  c.collapse_at = 0;  // the mean is taken off before the loss, so nothing holds it down and it tells nothing
}

void apply_phantom_size(Config& c) {
  c.width = 16;
  c.layer4_stride = 1;
  c.head_hidden = 128;
  c.head_output = 64;
  c.patch = 64;
  c.mpp = "1.0";
  c.chunk = 256;
}

}  // namespace

Config preset_config(Preset preset, const std::string& data) {
  Config c;
  c.data = data;
  c.mpp = "0.5";
  if (data == kPhantom) apply_phantom_size(c);
  c.preset = preset != Preset::not_given ? preset : Preset::fast;
  if (c.preset == Preset::paper) {
    apply_paper(c);
    // The published pre-training is of another scale; on the phantom it stays what fits the phantom.
    if (data == kPhantom) {
      c.pretrain_steps = 150;
      c.pretrain_batch = 128;
      c.pretrain_lr = 3e-3;
      c.pretrain_temperature = 0.1;
    }
  } else {
    apply_fast(c);
    if (c.preset == Preset::tiny) {
      c.phantom_slides = "4/4/4";
      c.patch = 64;
      c.mpp = "2.0";
      c.layer4_stride = 1;
      c.width = 8;
      c.head_hidden = 32;
      c.head_output = 16;
      c.pretrain_steps = 6;
      c.pretrain_batch = 16;
      c.mil_epochs = 4;
      c.rounds = 2;
      c.round_epochs = 2;
      c.finetune_batch = 16;
    }
  }
  return c;
}

void validate(const Config& c) {
  const auto need = [](bool ok, const std::string& message) {
    if (!ok) throw UsageError(message);
  };
  need(!c.data.empty(), "--data is missing: phantom, camelyon16 or a CSV file");
  need(!c.run.empty(), "--run DIR is missing: where results go");
  need(c.chunk >= 8 && c.chunk % 8 == 0, fmt::format("--chunk {}: must be a multiple of 8", c.chunk));
  need(c.patch >= 16, fmt::format("--patch {}: at least 16 pixels", c.patch));
  need(c.overlap >= 0 && c.overlap < c.patch,
       fmt::format("--overlap {}: 0 to {}, less than the patch", c.overlap, c.patch - 1));
  // The stem and stages 2 and 3 divide by 16, stage 4 by its stride. Instance norm erases a 1×1 map.
  const int64_t last_map = c.patch / 16 / std::max<int64_t>(c.layer4_stride, 1);
  need(c.layer4_stride == 1 || c.layer4_stride == 2,
       fmt::format("--layer4-stride {}: 1 or 2", c.layer4_stride));
  need(!c.features.empty() || last_map >= 3 || c.norm == NormKind::batch,
       fmt::format("--patch {}: the last stage would see {}x{} pixels, of which InstanceNorm leaves nothing; "
                   "use larger patches{}",
                   c.patch, last_map, last_map, c.layer4_stride == 2 ? " or --layer4-stride 1" : ""));
  need(c.bn == BatchStatistics::frozen || c.norm == NormKind::batch,
       "--bn batch: goes with --norm batch only");
  const int64_t views = 2 * std::max(c.pretrain == Pretraining::simclr ? c.pretrain_batch : 0,
                                     c.method != Method::mil || c.ablation ? c.finetune_batch : 0);
  need(c.bn == BatchStatistics::frozen || c.chunk >= views,
       fmt::format("--bn batch: a batch is {} views, and in chunks of {} (--chunk) each chunk would have "
                   "statistics of its own; use --bn frozen, or --chunk {}",
                   views, c.chunk, (views + 7) / 8 * 8));
  need(c.width >= 8 && c.width % 8 == 0, fmt::format("--width {}: a multiple of 8", c.width));
  need(c.threads >= 0 && c.threads <= kMostThreads,
       fmt::format("--threads {}: 0 (all cores) to {}", c.threads, kMostThreads));
  need(
      c.features.empty() || (c.until != Until::tile && c.until != Until::pretrain && c.until != Until::embed),
      fmt::format("--until {}: with --features there is no such stage", choice_name(c.until)));
  need(c.shard.empty() || c.until == Until::end || c.until == Until::tile,
       fmt::format("--until {}: a shard tiles and embeds; --until tile is its only stop",
                   choice_name(c.until)));
  need(c.device_memory >= 0, "--device-memory: not negative");
  need(c.gpu >= -1, "--gpu: the number of a GPU, from 0, or -1 for the first");
  need(c.gpu == -1 || c.device == Device::cuda, "--gpu: chooses among GPUs, so it needs --device cuda");
  need(!c.switch_device || c.shard.empty(), "--switch-device: does not go with --shard");
  need(c.mpp_override >= 0 && std::isfinite(c.mpp_override),
       "--mpp-override: a positive number of micrometres");
  need(c.features.empty() || (c.method == Method::mil && !c.ablation),
       "--features: goes with --method mil only (there is no encoder to fine-tune)");
  need(c.features_key.empty() || !c.features.empty(), "--features-key: goes with --features");
  need(c.min_tissue > 0 && c.min_tissue <= 1, "--min-tissue: in (0, 1]");
  need(c.tumour_overlap > 0 && c.tumour_overlap <= 1, "--tumour-overlap: in (0, 1]");
  need(c.negative_ratio > 0 && c.negative_ratio <= 1, "--negative-ratio: in (0, 1]");
  need(c.random_negatives >= 0 && c.random_negatives < 1, "--random-negatives: in [0, 1)");
  need(c.finetune_batch >= 4 && c.pretrain_batch >= 2,
       "--finetune-batch needs at least 4 patches, --pretrain-batch 2");
  need(c.finetune_positives > 0 && c.finetune_positives < 1, "--finetune-positives: in (0, 1)");
  need(c.pretrain_temperature > 0 && c.finetune_temperature > 0, "temperatures must be positive");
  need(c.mil_epochs >= 1 && c.mil_label_epoch >= 0 && c.mil_label_epoch < c.mil_epochs,
       "--mil-label-epoch: below --mil-epochs");
  need(c.rounds >= 1 && c.round_epochs >= 1, "--rounds and --round-epochs: at least 1");
  need(c.checkpoint_seconds >= 0, "--checkpoint-seconds: not negative");
  need(c.rank_k >= 1, "--rank-k: at least 1");
}

namespace {

template <typename T>
std::string toml_value(const T& value) {
  if constexpr (std::is_same_v<T, std::string>) {
    return toml_string(value);
  } else if constexpr (IsChoice<T>) {
    return toml_string(choice_name(value));
  } else if constexpr (std::is_same_v<T, uint64_t>) {  // TOML's integers end at 2^63
    return value <= uint64_t{INT64_MAX} ? fmt::format("{}", value) : toml_string(std::to_string(value));
  } else if constexpr (std::is_same_v<T, bool>) {
    return value ? "true" : "false";
  } else {
    return fmt::format("{}", value);
  }
}

}  // namespace

std::string to_toml(const Config& config) {
  std::string text;
  std::string group;
  visit_options(config, [&](const OptionText& option, const auto& value) {
    if (group != option.group) {
      group = option.group;
      text += fmt::format("{}# {}\n", text.empty() ? "" : "\n", group);
    }
    text += fmt::format("{} = {}\n", option.name, toml_value(value));
  });
  return text;
}

namespace {

/// What of an option must be the same when a run folder is used again; nothing where it may be another. The
/// same data may be spelled in many ways, so of inputs only the kind stands here.
template <typename T>
std::optional<std::string> identity_of(const OptionText& option, const T& value) {
  if (!option.identity) return std::nullopt;
  if constexpr (std::is_same_v<T, std::string>) {
    if (option.by_content) {
      // A set's name is no path, and has no ending as tables have.
      const bool is_name =
          std::string_view(option.name) == "data" && !std::filesystem::path(value).has_extension();
      return value.empty() ? "not given" : is_name ? value : "given";
    }
  }
  return toml_value(value);
}

}  // namespace

std::vector<std::string> identity_differences(const Config& in_folder, const Config& now) {
  std::vector<std::optional<std::string>> before;
  visit_options(in_folder, [&](const OptionText& option, const auto& value) {
    before.push_back(identity_of(option, value));
  });
  std::vector<std::string> differences;
  std::size_t i = 0;
  visit_options(now, [&](const OptionText& option, const auto& value) {
    const std::optional<std::string> text = identity_of(option, value);
    const bool may_differ = now.switch_device && std::string_view(option.name) == "device";
    if (!may_differ && before[i] != text)
      differences.push_back(fmt::format("{} is {} in the folder and {} now", option.name, *before[i], *text));
    ++i;
  });
  return differences;
}

std::string settings_sha256(const Config& config) {
  std::string text;
  visit_options(config, [&](const OptionText& option, const auto& value) {
    if (const auto identity = identity_of(option, value))
      text += fmt::format("{} = {}\n", option.name, *identity);
  });
  return sha256(text);
}

}  // namespace mt::train
