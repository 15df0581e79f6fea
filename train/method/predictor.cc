#include "train/method/predictor.h"

#include <cmath>
#include <cstdlib>

#include "autograd/arithmetic.h"
#include "autograd/tape.h"
#include "models/weights.h"
#include "tensor/check.h"
#include "tensor/io/safetensors.h"
#include "tensor/io/seal.h"
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

void apply_centring(const FeatureCentring& centring, Tensor& features) {
  if (!centring.mean.defined()) return;
  const int64_t width = features.dim(1);
  check(width == centring.mean.dim(0), "predict: features of width {}, the MIL model was trained on {}",
        width, centring.mean.dim(0));
  float* values = features.data<float>();
  const float* mean = centring.mean.data<float>();
  for (int64_t i = 0; i < features.dim(0); ++i) {
    for (int64_t d = 0; d < width; ++d)
      values[i * width + d] = (values[i * width + d] - mean[d]) * centring.factor;
  }
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
  const fs::path mil_path = round.mil();
  check_seal(mil_path.string(), kRunFileRemedy);
  const SafetensorsFile file(mil_path.string());
  StateDict weights;
  for (auto& [name, tensor] : file.read_all()) {
    if (name == "centring.mean") {
      centring_.mean = tensor;
    } else if (name == "centring.factor") {
      centring_.factor = tensor.item<float>();
    } else {
      weights.emplace_back(name, tensor);
    }
  }
  mil_ = make_mil_model(config_.mil, encoder_.network->config().feature_width(), 0, device);
  LoadOptions options;
  options.source = mil_path.string();
  load_state_dict(*mil_, weights, options);
  const auto threshold = file.metadata().find("threshold");
  check(threshold != file.metadata().end(), "{}: holds no threshold", mil_path.string());
  threshold_ = std::strtod(threshold->second.c_str(), nullptr);
}

Prediction Predictor::predict(const fs::path& path, float region_score) const {
  Dataset dataset;
  SlideRecord record;
  record.id = record.case_id = path.stem().string();
  record.path = path;
  dataset.slides.push_back(record);
  const auto slide = open_slide(record, config_);
  const std::vector<SlideTiles> tiles{make_tiles(record, *slide, config_)};
  PatchSource patches(dataset, tiles, config_, 0);

  Prediction prediction;
  prediction.slide_id = record.id;
  prediction.threshold = threshold_;
  prediction.given_mpp = is_given_mpp(record, config_) ? config_.mpp_override : 0;
  prediction.features = embed_slide(encoder_, patches, 0);
  Tensor centred = copied_to(prediction.features.features, Device::cpu);  // (N,D)
  apply_centring(centring_, centred);
  const Tensor bag = moved_to(centred, mil_->device());  // (N,D)
  const NoGradGuard no_grad;
  const MilOutput output = mil_->forward(Variable(bag));
  prediction.score = 1 / (1 + std::exp(-output.bag_logit.item()));
  prediction.is_positive = prediction.score >= threshold_;
  prediction.class_name = classes_[prediction.is_positive ? 1 : 0];
  const Tensor scores = instance_scores(*mil_, bag);  // (N)
  prediction.features.instances.emplace_back("instance_scores", scores);

  prediction.heatmap = slide->thumbnail(1600);
  std::vector<wsi::PatchScore> places;
  for (std::size_t t = 0; t < tiles[0].x_level0.size(); ++t) {
    places.push_back({tiles[0].x_level0[t], tiles[0].y_level0[t], scores.data<float>()[t]});
  }
  wsi::draw_heatmap(prediction.heatmap, {prediction.heatmap, slide->levels().front()}, places,
                    tiles[0].patch_level0);
  const double step = tiles[0].patch_level0 * static_cast<double>(config_.patch - config_.overlap) /
                      static_cast<double>(config_.patch);
  prediction.regions =
      wsi::Annotations(wsi::trace_regions(places, tiles[0].patch_level0, step, region_score));
  return prediction;
}

}  // namespace mt::train
