#include "train/method/predictor.h"

#include "autograd/arithmetic.h"
#include "autograd/tape.h"
#include "tensor/check.h"
#include "train/data/patches.h"
#include "train/method/stages/stages.h"
#include "train/run/result.h"
#include "train/run/run_files.h"
#include "train/run/run_folder.h"
#include "wsi/heatmap.h"
#include "wsi/regions.h"

namespace mt::train {
namespace {

namespace fs = std::filesystem;

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

}  // namespace

Predictor::Predictor(const fs::path& run, const std::string& variant, double mpp_override, Device device) {
  const RunFiles files(run);
  config_ = read_run_config(run);
  check(config_.features.empty(), "{}: was trained on given features; predict needs a run with an encoder",
        run.string());
  if (mpp_override > 0) config_.mpp_override = mpp_override;
  config_.device = device;
  check(fs::exists(files.result()), "{}: holds no result.json; finish the run with train first",
        run.string());
  const ResultSummary result = read_result(files.result());
  const Selection& selected = find_variant(result.variants, variant, run);
  variant_ = selected.name;
  classes_ = result.classes;
  const RoundFiles round(run, selected.variant(), selected.selected_round);
  encoder_ = load_encoder(round.encoder(), config_);
  mil_ = load_mil(round.mil(), device);
  const int64_t width = encoder_.network->config().feature_width();
  check(mil_.model->feature_width() == width, "{}: wants features of width {}, the run's encoder gives {}",
        round.mil().string(), mil_.model->feature_width(), width);
}

Prediction Predictor::predict(const fs::path& path, float region_score) const {
  TiledSlide tiled;
  SlideRecord& record = tiled.record;
  record.id = record.case_id = path.stem().string();
  record.path = path;
  const auto slide = open_slide(record, config_);
  const SlideTiles& tiles = tiled.tiles = make_tiles(record, *slide, config_);
  PatchSource patches({&tiled, 1}, config_, 0);

  Prediction prediction;
  prediction.slide_id = record.id;
  prediction.threshold = mil_.threshold;
  prediction.given_mpp = is_given_mpp(record, config_) ? config_.mpp_override : 0;
  prediction.features = embed_slide(encoder_, patches, 0);
  const Tensor bag = moved_to(prediction.features.features, mil_.model->device());  // (N,D)
  const NoGradGuard no_grad;
  const MilOutput output = mil_.model->forward(Variable(bag));
  prediction.score = slide_score(output);
  prediction.is_positive = prediction.score >= mil_.threshold;
  prediction.class_name = classes_[prediction.is_positive ? 1 : 0];
  const Tensor scores = instance_scores(output);  // (N)
  prediction.features.instances.emplace_back("instance_scores", scores);

  prediction.heatmap = slide->thumbnail(1600);
  std::vector<wsi::PatchScore> places;
  for (std::size_t t = 0; t < tiles.x_level0.size(); ++t) {
    places.push_back({tiles.x_level0[t], tiles.y_level0[t], scores.data<float>()[t]});
  }
  wsi::draw_heatmap(prediction.heatmap, {prediction.heatmap, slide->levels().front()}, places,
                    tiles.patch_level0);
  const double step = tiles.patch_level0 * static_cast<double>(config_.patch - config_.overlap) /
                      static_cast<double>(config_.patch);
  prediction.regions = wsi::Annotations(wsi::trace_regions(places, tiles.patch_level0, step, region_score));
  return prediction;
}

}  // namespace mt::train
