#include "train/method/predictor.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "autograd/arithmetic.h"
#include "autograd/tape.h"
#include "kernels/common/instruction_set.h"
#include "tensor/check.h"
#include "tensor/io/safetensors.h"
#include "tensor/io/sha256.h"
#include "tensor/text.h"
#include "train/cli/progress.h"
#include "train/cli/version.h"
#include "train/data/patches.h"
#include "train/method/stages/stages.h"
#include "train/run/fingerprint.h"
#include "train/run/result.h"
#include "train/run/run_files.h"
#include "train/run/run_folder.h"
#include "train/run/weights_hash.h"
#include "wsi/annotation_group.h"
#include "wsi/heatmap.h"
#include "wsi/png.h"
#include "wsi/regions.h"

namespace mt::train {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kHeatmapSide = 1600;

const Selection& find_variant(const std::vector<Selection>& variants, const std::string& wanted,
                              const fs::path& run) {
  std::string names;
  for (const Selection& variant : variants) {
    if (variant.name == wanted || (wanted.empty() && variants.size() == 1)) return variant;
    names += (names.empty() ? "" : ", ") + variant.name;
  }
  fail("{}: {}; give --variant one of {}", run.string(),
       wanted.empty() ? "holds several variants" : "has no variant " + wanted, names);
}

/// Seals tell that each file is whole; this, that they are those which result.json was made with.
void check_weights(const fs::path& encoder, const fs::path& mil, const Selection& selected,
                   const fs::path& run) {
  NamedTensors weights;
  const auto add = [&](const fs::path& file, const char* prefix) {
    for (auto& [name, tensor] : SafetensorsFile(file.string()).read_all())
      weights.emplace_back(prefix + name, tensor);
  };
  if (!encoder.empty()) add(encoder, "encoder.");
  add(mil, "mil.");
  check(weights_sha256(std::move(weights)) == selected.weights_sha256,
        "{}: its weights are not those of its result.json; the same train command again says which file was "
        "replaced",
        run.string());
}

/// Six digits: more of a physical size are those of a file's single precision.
double plain_mpp(double mpp) {
  return std::strtod(fmt::format("{:.6g}", mpp).c_str(), nullptr);
}

/// Where each patch lies, with its score.
std::vector<wsi::PatchScore> places_of(const SlideFeatures& instances) {
  const auto coords = instances.coords.span<int64_t>();  // (N,2)
  const auto scores = instances.instances.front().second.span<float>();
  std::vector<wsi::PatchScore> places;
  for (std::size_t i = 0; i < scores.size(); ++i)
    places.push_back({coords[2 * i], coords[2 * i + 1], scores[i]});
  return places;
}

void name_regions(Prediction& prediction, std::vector<wsi::Polygon> regions, const std::string& positive) {
  SlidePrediction& result = prediction.result;
  result.regions = static_cast<int64_t>(regions.size());
  result.region_class = !result.positive ? wsi::kSuspicious : positive == "tumour" ? "Tumor" : positive;
  for (wsi::Polygon& region : regions) {
    region.group = result.region_class;
    if (!result.positive) region.name = "suspicious: " + region.name;
  }
  prediction.regions = wsi::Annotations(std::move(regions));
}

void add_scale_bar(Prediction& prediction, const wsi::Level& level0) {
  if (!std::isfinite(prediction.result.level0_mpp)) return;
  const double step = static_cast<double>(level0.width) / static_cast<double>(prediction.heatmap.width);
  const double length = wsi::draw_scale_bar(prediction.heatmap, prediction.result.level0_mpp * step);
  if (length > 0) prediction.result.scale_bar_um = length;
}

/// A light page as large as the slide's thumbnail would be, for features without a slide.
wsi::RgbImage blank_thumbnail(const wsi::Level& level0) {
  const double scale = std::min(
      1.0, static_cast<double>(kHeatmapSide) / static_cast<double>(std::max(level0.width, level0.height)));
  const auto side = [&](int64_t pixels) {
    return std::max<int64_t>(1, std::llround(static_cast<double>(pixels) * scale));
  };
  return {side(level0.width), side(level0.height), 225};
}

/// The slide's size where the file says it, or as far as its patches reach.
wsi::Level extent_of(const SlideFeatures& features, double patch_level0) {
  const FeatureAttributes& says = features.attributes;
  wsi::Level level0;
  const auto coords = features.coords.span<int64_t>();
  const auto patch = static_cast<int64_t>(std::ceil(patch_level0));
  for (std::size_t i = 0; i + 1 < coords.size(); i += 2) {
    level0.width = std::max(level0.width, coords[i] + patch);
    level0.height = std::max(level0.height, coords[i + 1] + patch);
  }
  const auto credible = [](const std::optional<int64_t>& side) {
    return side && *side <= 1'000'000'000 ? *side : 0;
  };
  level0.width = std::max(level0.width, credible(says.level0_width));
  level0.height = std::max(level0.height, credible(says.level0_height));
  return level0;
}

/// Whether the patches lie somewhere on a slide, and not hundreds of them in each place.
bool can_be_drawn(const SlideFeatures& features, double patch_level0) {
  constexpr int64_t kMostPixels = 1'000'000'000;  // of a side
  if (!features.coords.defined() || !(patch_level0 > 0 && patch_level0 <= kMostPixels)) return false;
  const auto coords = features.coords.span<int64_t>();
  if (!std::all_of(coords.begin(), coords.end(), [](int64_t at) { return at >= 0 && at <= kMostPixels; }))
    return false;
  constexpr double kMostLayers = 256;
  const wsi::Level level0 = extent_of(features, patch_level0);
  const double area = static_cast<double>(level0.width) * static_cast<double>(level0.height);
  return static_cast<double>(coords.size()) / 2 * patch_level0 * patch_level0 <= kMostLayers * area;
}

}  // namespace

Predictor::Predictor(PredictorOptions options) : options_(std::move(options)) {
  const fs::path& run = options_.run;
  const RunFiles files(run);
  config_ = read_run_config(run);
  if (options_.mpp_override > 0) config_.mpp_override = options_.mpp_override;
  if (!options_.features_key.empty()) config_.features_key = options_.features_key;
  config_.device = options_.device;
  check(fs::exists(files.result()), "{}: holds no result.json; finish the run with train first",
        run.string());
  const ResultSummary result = read_result(files.result());
  const Selection& selected = find_variant(result.variants, options_.variant, run);
  model_.run = as_utf8(fs::absolute(run).lexically_normal().string());
  model_.variant = selected.name;
  model_.weights_sha256 = selected.weights_sha256;
  model_.classes = result.classes;
  const RoundFiles round(run, selected.variant(), selected.selected_round);
  const auto there = [](const fs::path& file) {
    check(fs::exists(file), "{}: is missing; the same train command makes it anew", file.string());
    return file;
  };
  const bool has_encoder = config_.features.empty();
  if (has_encoder) encoder_ = load_encoder(there(round.encoder()), config_);
  mil_ = load_mil(there(round.mil()), options_.device);
  check_weights(has_encoder ? round.encoder() : fs::path(), round.mil(), selected, run);
  model_.threshold = mil_.threshold;
  if (!has_encoder) return;
  const int64_t width = encoder_.network->config().feature_width();
  check(mil_.model->feature_width() == width, "{}: wants features of width {}, the run's encoder gives {}",
        round.mil().string(), mil_.model->feature_width(), width);
}

std::string Predictor::features_run() const {
  if (config_.features.empty()) return {};
  return fmt::format("{} was trained on features of width {}", options_.run.string(),
                     mil_.model->feature_width());
}

Predictor::Source Predictor::source_of(const SlideRecord& record) const {
  const Fingerprint source = fingerprint_of(record.path, HashedPart::ends);
  const std::string decides =
      fmt::format("prediction 1|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}", kVersion, model_.weights_sha256,
                  model_.threshold, model_.classes[0], model_.classes[1], record.id, source.bytes,
                  source.sha256, record.mpp, fmt::format("{}|{}", config_.mpp_override, config_.features_key),
                  options_.region_score, fmt::format("{} {}", name_of(options_.device), instruction_set()));
  return {source.sha256, sha256(decides)};
}

void Predictor::score(const Tensor& bag, Prediction& prediction) const {
  const NoGradGuard no_grad;
  const MilOutput output = mil_.model->forward(Variable(moved_to(bag, mil_.model->device())));
  SlidePrediction& result = prediction.result;
  result.score = slide_score(output);
  result.threshold = model_.threshold;
  result.positive = result.score >= model_.threshold;
  result.call = model_.classes[result.positive ? 1 : 0];
  result.patches = bag.dim(0);
  const Tensor scores = instance_scores(output);  // (N)
  const auto values = scores.span<float>();
  result.highest_instance_score = static_cast<double>(*std::max_element(values.begin(), values.end()));
  NamedTensors& instances = prediction.instances.instances;
  instances.clear();
  instances.emplace_back("instance_scores", scores);
  if (!output.attention.defined()) return;
  instances.emplace_back("attention", moved_to(output.attention, Device::cpu).view({bag.dim(0)}));
}

Prediction Predictor::from_slide(const SlideRecord& record) const {
  TiledSlide tiled{record, {}};
  const auto slide = open_slide(record, config_);
  const SlideTiles& tiles = tiled.tiles = make_tiles(record, *slide, config_);
  PatchSource patches({&tiled, 1}, config_, 0);

  Prediction prediction;
  SlidePrediction& result = prediction.result;
  result.notes = slide->notes();
  if (is_given_mpp(record, config_))
    result.notes.push_back(fmt::format("says no um/px and is given {} ({})", config_.mpp_override,
                                       options_.mpp_override > 0 ? "--mpp-override" : "the run's"));
  if (tiles.mpp > 0) result.mpp = plain_mpp(tiles.mpp);
  if (slide->mpp()) result.level0_mpp = plain_mpp(*slide->mpp());
  std::optional<Progress> progress;  // for who sits before it, where it takes long
  constexpr int64_t kLong = 500;     // patches
  if (isatty(STDOUT_FILENO) != 0 && tiles.count() >= kLong)
    progress.emplace("embed " + printable(record.id, 16), tiles.count(), "patches");
  prediction.instances = embed_slide(encoder_, patches, 0, progress ? &*progress : nullptr);
  progress.reset();
  if (tiles.mpp > 0) prediction.instances.attributes.mpp = result.mpp;
  score(prediction.instances.features, prediction);

  prediction.heatmap = slide->thumbnail(kHeatmapSide);
  wsi::draw_heatmap(prediction.heatmap, {prediction.heatmap, slide->levels().front()},
                    places_of(prediction.instances), tiles.patch_level0);
  add_scale_bar(prediction, slide->levels().front());
  const double step = tiles.patch_level0 * static_cast<double>(config_.patch - config_.overlap) /
                      static_cast<double>(config_.patch);
  result.region_score = static_cast<double>(options_.region_score);
  name_regions(
      prediction,
      wsi::trace_regions(places_of(prediction.instances), tiles.patch_level0, step, options_.region_score),
      model_.classes[1]);
  return prediction;
}

Prediction Predictor::from_features(const SlideRecord& record) const {
  const std::string file = record.path.string();
  Prediction prediction;
  SlideFeatures& features = prediction.instances = read_features(file, config_.features_key);
  check(features.features.dim(0) > 0, "{}: holds no instance", file);
  check(features.features.dim(1) == mil_.model->feature_width(), "{}: features of width {}, and {}", file,
        features.features.dim(1), features_run());
  score(features.features, prediction);
  features.features = {};  // they are in the file that was given
  features.attributes.name = record.id;
  SlidePrediction& result = prediction.result;
  result.region_score = static_cast<double>(options_.region_score);
  const FeatureAttributes& says = features.attributes;
  if (says.target_magnification.value_or(0) > 0) {
    result.mpp = plain_mpp(10.0 / *says.target_magnification);  // 10 um per pixel at 1x, as TRIDENT has it
    if (says.level0_magnification.value_or(0) > 0)
      result.level0_mpp = plain_mpp(10.0 / *says.level0_magnification);
  }
  const auto patch_level0 = static_cast<double>(says.patch_size_level0.value_or(0));
  if (!can_be_drawn(features, patch_level0)) {
    result.notes.emplace_back(
        "the features say no coordinates (or no patch_size_level0 with them), so there is no heatmap and no "
        "region");
    return prediction;
  }
  const wsi::Level level0 = extent_of(features, patch_level0);
  const std::vector<wsi::PatchScore> places = places_of(features);
  const double patch = static_cast<double>(says.patch_size.value_or(0));
  const double overlap = static_cast<double>(says.overlap.value_or(0));
  const bool says_step = patch > 0 && overlap > 0 && overlap < patch;
  prediction.heatmap = blank_thumbnail(level0);
  wsi::draw_heatmap(prediction.heatmap, {prediction.heatmap, level0}, places, patch_level0, 0, 1, 1);
  add_scale_bar(prediction, level0);
  const double step = says_step ? patch_level0 * (patch - overlap) / patch : patch_level0;
  name_regions(prediction, wsi::trace_regions_anywhere(places, patch_level0, step, options_.region_score),
               model_.classes[1]);
  return prediction;
}

Prediction Predictor::predict(const SlideRecord& record) const {
  const Source source = source_of(record);  // as it is before it is read
  Prediction prediction = config_.features.empty() ? from_slide(record) : from_features(record);
  SlidePrediction& result = prediction.result;
  result.slide_id = record.id;
  result.path = as_utf8(fs::absolute(record.path).lexically_normal().string());
  for (std::string& note : result.notes) note = as_utf8(note);
  result.device = fmt::format("{} ({})", name_of(options_.device), instruction_set());
  result.source_sha256 = source.sha256;
  result.made_from = source.made_from;
  prediction.instances.made_from = source.made_from;
  prediction.instances.origin = {{"producer", std::string("microtome ") + kVersion},
                                 {"weights_sha256", model_.weights_sha256}};
  return prediction;
}

std::vector<std::pair<std::string, std::string>> prediction_files(const Prediction& prediction) {
  const std::string& id = prediction.result.slide_id;
  std::vector<std::pair<std::string, std::string>> files;
  files.emplace_back(id + kScoresEnding, features_file(id + kScoresEnding, prediction.instances));
  if (prediction.heatmap.width > 0)
    files.emplace_back(id + kHeatmapEnding, wsi::encode_png(prediction.heatmap));
  if (prediction.regions) {
    files.emplace_back(id + kGeojsonEnding, wsi::to_geojson(*prediction.regions));
    files.emplace_back(id + kAsapEnding, wsi::to_asap(*prediction.regions));
  }
  return files;
}

std::vector<std::string> prediction_file_names(const std::string& slide_id) {
  std::vector<std::string> names;
  for (const char* ending : kResultEndings) names.push_back(slide_id + ending);
  return names;
}

}  // namespace mt::train
