#include "train/method/evaluate.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "autograd/arithmetic.h"
#include "kernels/select/select.h"
#include "models/weights.h"
#include "tensor/check.h"
#include "tensor/io/safetensors.h"
#include "tensor/rng.h"
#include "train/data/datasets/registry.h"
#include "train/data/datasets/tissue_types.h"
#include "train/figures/intervals.h"
#include "train/figures/metrics.h"
#include "train/method/stages/stages.h"
#include "train/run/score_files.h"
#include "train/run/weights_hash.h"

namespace mt::train {
namespace {

constexpr int64_t kGallery = 24;

Metric proportion(const std::string& name, int64_t successes, int64_t trials) {
  Metric metric{name, std::nullopt, proportion_interval(successes, trials), {}};
  if (trials > 0)
    metric.value = static_cast<double>(successes) / static_cast<double>(trials);
  else
    metric.note = "no slide of this class";
  return metric;
}

void slide_metrics(const ScoredSlides& test, uint64_t seed, VariantResult& variant) {
  BootstrapOptions bootstrap;
  bootstrap.seed = seed;
  variant.metrics.push_back({"slide_auc",
                             auc(test.labels, test.scores),
                             auc_interval(test.labels, test.scores, bootstrap, test.cases),
                             {}});
  const Confusion at = confusion_at(test.labels, test.scores, variant.threshold);
  variant.metrics.push_back(proportion("accuracy", at.true_positive + at.true_negative, at.total()));
  variant.metrics.push_back(
      proportion("sensitivity", at.true_positive, at.true_positive + at.false_negative));
  variant.metrics.push_back(
      proportion("specificity", at.true_negative, at.true_negative + at.false_positive));
  const double threshold = variant.threshold;
  const Statistic f1 = [threshold](std::span<const int> labels,
                                   std::span<const double> scores) -> std::optional<double> {
    return confusion_at(labels, scores, threshold).f1();
  };
  variant.metrics.push_back(
      {"f1", at.f1(), bootstrap_interval(test.labels, test.scores, f1, bootstrap, test.cases), {}});
}

/// Instance figures over the test slides whose patches have a truth; intervals resample whole slides.
void instance_metrics(const RunContext& context, const InstanceScores& scores, VariantResult& variant) {
  std::vector<std::string> clusters;
  for (std::size_t s = 0; s < scores.size(); ++s) {
    const SlideRecord& slide = context.slides[s].record;
    if (slide.split != Split::test || scores[s].empty() || context.slides[s].tiles.tumour.empty()) continue;
    for (std::size_t t = 0; t < scores[s].size(); ++t) {
      variant.instance_labels.push_back(
          context.slides[s].tiles.tumour[t] >= static_cast<float>(context.config.tumour_overlap) ? 1 : 0);
      variant.instance_scores.push_back(scores[s][t]);
      clusters.push_back(slide.case_id);
    }
  }
  BootstrapOptions bootstrap;
  bootstrap.seed = context.config.seed;
  if (clusters.size() > 200000) bootstrap.resamples = 200;
  const auto add = [&](const char* name, const Statistic& statistic) {
    Metric metric{name, std::nullopt, std::nullopt, "no test patch with known truth of both classes"};
    if (!clusters.empty()) metric.value = statistic(variant.instance_labels, variant.instance_scores);
    if (metric.value) {
      metric.note.clear();
      metric.interval = bootstrap_interval(variant.instance_labels, variant.instance_scores, statistic,
                                           bootstrap, clusters);
    }
    variant.metrics.push_back(std::move(metric));
  };
  add("instance_auc", [](std::span<const int> l, std::span<const double> s) { return auc(l, s); });
  add("instance_average_precision",
      [](std::span<const int> l, std::span<const double> s) { return average_precision(l, s); });
}

bool is_tumour(const RunContext& context, PatchId id) {
  return context.slides[static_cast<std::size_t>(id.slide)].tiles.tumour[static_cast<std::size_t>(id.tile)] >=
         static_cast<float>(context.config.tumour_overlap);
}

/// The best kGallery by descending score, ties by (slide, tile).
std::vector<std::pair<PatchId, float>> best_of(const std::vector<ScoredPatch>& patches, Device device) {
  std::vector<float> scores;
  for (const ScoredPatch& patch : patches) scores.push_back(patch.score);
  const Tensor held = moved_to(Tensor::of(scores, {std::ssize(scores)}), device);  // (n)
  const Tensor indices = Tensor::empty({kGallery}, DType::i64, device);
  const Tensor values = Tensor::empty({kGallery}, DType::f32, device);
  const int64_t count = select<float>(device).top_k(held.data<float>(), nullptr, held.numel(), kGallery,
                                                    indices.data<int64_t>(), values.data<float>(), nullptr);
  const Tensor found = moved_to(indices, Device::cpu);
  std::vector<std::pair<PatchId, float>> best;
  for (const int64_t i : found.span<int64_t>().first(static_cast<std::size_t>(count))) {
    const ScoredPatch& patch = patches[static_cast<std::size_t>(i)];
    best.emplace_back(patch.id, patch.score);
  }
  return best;
}

/// How much commoner each tissue is among the hard negatives than among all patches of the negative slides
/// that were mined.
std::vector<Enrichment> enrichment(const RunContext& context, const TissueTypes& types,
                                   const InstanceScores& scores,
                                   const std::vector<ScoredPatch>& hard_negatives) {
  struct Counts {
    std::vector<int64_t> tissues;
    int64_t total = 0;
    double share(std::size_t t) const {
      return total == 0 ? 0 : static_cast<double>(tissues[t]) / static_cast<double>(total);
    }
  };
  Counts all{std::vector<int64_t>(types.names().size()), 0};
  Counts mined = all;
  const auto count = [&](PatchId id, Counts& counts) {
    const SlideTiles& tiles = context.slides[static_cast<std::size_t>(id.slide)].tiles;
    const auto tile = static_cast<std::size_t>(id.tile);
    const auto tissue = types.at(context.slides[static_cast<std::size_t>(id.slide)].record.id,
                                 tiles.x_level0[tile], tiles.y_level0[tile], tiles.patch_level0);
    if (!tissue) return;
    ++counts.tissues[*tissue];
    ++counts.total;
  };
  for (std::size_t s = 0; s < scores.size(); ++s) {
    if (context.slides[s].record.label != 0) continue;
    for (std::size_t t = 0; t < scores[s].size(); ++t)
      count({static_cast<int32_t>(s), static_cast<int32_t>(t)}, all);
  }
  for (const ScoredPatch& patch : hard_negatives) count(patch.id, mined);
  std::vector<Enrichment> result;
  for (std::size_t t = 0; t < types.names().size(); ++t) {
    if (all.tissues[t] > 0) result.push_back({types.names()[t], mined.share(t), all.share(t)});
  }
  std::stable_sort(result.begin(), result.end(),
                   [](const auto& a, const auto& b) { return a.share_all > b.share_all; });
  return result;
}

/// What the labels of this round would mine: for the gallery and for precision where truth is known.
void describe_mining(const RunContext& context, const RoundFiles& files, Method method,
                     const std::optional<TissueTypes>& types, RoundResult& round) {
  InstanceScores scores = read_instance_scores(context.folder.checked(files.label_scores()), context.slides);
  for (std::size_t s = 0; s < scores.size(); ++s) {
    if (context.slides[s].record.split != Split::train) scores[s].clear();
  }
  const MinedSet mined =
      mine(context.slides, scores, context.config, method == Method::mil ? Method::hnm : method, 0,
           static_cast<uint32_t>(files.round() + 1));
  round.positives = static_cast<int64_t>(mined.positives.size());
  round.hard_negatives = static_cast<int64_t>(mined.hard_negatives.size());
  round.top_hard_negatives = best_of(mined.hard_negatives, context.config.device);
  round.top_positives = best_of(mined.positives, context.config.device);
  if (types) round.negative_enrichment = enrichment(context, *types, scores, mined.hard_negatives);
  int64_t known = 0;
  int64_t correct = 0;
  for (const ScoredPatch& patch : mined.positives) {
    if (context.slides[static_cast<std::size_t>(patch.id.slide)].tiles.tumour.empty()) continue;
    ++known;
    correct += is_tumour(context, patch.id) ? 1 : 0;
  }
  if (known > 0) round.positive_precision = static_cast<double>(correct) / static_cast<double>(known);
}

}  // namespace

ScoredSlides scored_slides(std::span<const TiledSlide> slides, const std::vector<double>& scores,
                           Split split) {
  ScoredSlides result;
  for (std::size_t s = 0; s < scores.size(); ++s) {
    const SlideRecord& slide = slides[s].record;
    if (slide.split != split || std::isnan(scores[s])) continue;
    result.slides.push_back(s);
    result.labels.push_back(slide.label);
    result.scores.push_back(scores[s]);
    result.cases.push_back(slide.case_id);
  }
  return result;
}

bool passes_gate(Gate gate, const GateInput& best, const GateInput& now, const std::vector<int>& labels,
                 uint64_t seed) {
  if (gate == Gate::f1) return now.validation_f1 >= best.validation_f1;
  if (!(now.validation_loss < best.validation_loss)) return false;
  std::vector<std::size_t> of_class[2];
  for (std::size_t i = 0; i < labels.size(); ++i) of_class[labels[i]].push_back(i);
  constexpr int kResamples = 1000;
  int not_worse = 0;
  for (int r = 0; r < kResamples; ++r) {
    RandomStream random(seed, Purpose::bootstrap, static_cast<uint32_t>(r), hash64("gate"));
    std::vector<int> drawn;
    std::vector<double> scores_best;
    std::vector<double> scores_now;
    for (const auto& members : of_class) {
      for (std::size_t i = 0; i < members.size(); ++i) {
        const std::size_t pick = members[random.below(members.size())];
        drawn.push_back(labels[pick]);
        scores_best.push_back(best.validation_scores[pick]);
        scores_now.push_back(now.validation_scores[pick]);
      }
    }
    if (auc(drawn, scores_now).value_or(0) >= auc(drawn, scores_best).value_or(0)) ++not_worse;
  }
  return not_worse >= kResamples / 20;
}

void evaluate(const RunContext& context, const std::vector<RoundFiles>& rounds, VariantResult& variant) {
  const RoundFiles& selected = rounds[static_cast<std::size_t>(variant.selected_round)];
  const MilRecord mil = context.folder.record(selected.mil_training());
  variant.selected_epoch = mil.best_epoch;
  variant.threshold = mil.threshold;
  const ScoredSlides test = scored_slides(
      context.slides, read_slide_scores(context.folder.checked(selected.scores()), context.slides),
      Split::test);
  for (std::size_t i = 0; i < test.slides.size(); ++i) {
    variant.test_slides.push_back(
        {context.slides[test.slides[i]].record.id, test.labels[i], test.scores[i], test.cases[i]});
  }
  slide_metrics(test, context.config.seed, variant);
  instance_metrics(context, read_instance_scores(context.folder.checked(selected.scores()), context.slides),
                   variant);
  variant.test_optimal = {
      {"slide_auc", mil.test_optimal_auc, std::nullopt, "epoch chosen on the test slides"},
      {"accuracy", mil.test_optimal_accuracy, std::nullopt, "epoch and threshold chosen on the test slides"}};

  const std::optional<TissueTypes> types =
      TissueTypes::load(dataset_root(context.config, context.folder.files().phantom()));
  for (std::size_t r = 0; r < rounds.size(); ++r) {
    RoundResult& round = variant.rounds[r];
    round.round = static_cast<int64_t>(r);
    if (context.folder.done(rounds[r].finetuning()))
      round.finetune = context.folder.record(rounds[r].finetuning());
    if (!context.folder.done(rounds[r].mil_training())) continue;  // a rolled-back round
    round.mil = context.folder.record(rounds[r].mil_training());
    if (context.has_patches()) describe_mining(context, rounds[r], variant.method, types, round);
  }

  NamedTensors weights;
  if (context.config.features.empty()) {
    for (auto& [name, tensor] :
         SafetensorsFile(context.folder.checked(selected.encoder()).string()).read_all())
      weights.emplace_back("encoder." + name, tensor);
  }
  for (auto& [name, tensor] : SafetensorsFile(context.folder.checked(selected.mil()).string()).read_all())
    weights.emplace_back("mil." + name, tensor);
  variant.weights_sha256 = weights_sha256(std::move(weights));
}

}  // namespace mt::train
