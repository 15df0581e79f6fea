#pragma once
// A finished run applied to new slides, or to new features.

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "train/data/tiles.h"
#include "train/feature_files/feature_files.h"
#include "train/method/encoder.h"
#include "train/method/mil_file.h"
#include "train/run/predictions.h"
#include "wsi/annotation.h"
#include "wsi/image.h"

namespace mt::train {

struct PredictorOptions {
  std::filesystem::path run;
  std::string variant;       // may be empty when the run has only one
  double mpp_override = 0;   // as in training (0: the run's)
  std::string features_key;  // as in training (empty: the run's)
  float region_score = 0.5F;
  Device device = Device::cpu;  // whichever the run was trained on
};

/// All that is made of one slide.
struct Prediction {
  SlidePrediction result;   // but for the files
  SlideFeatures instances;  // coordinates, "instance_scores" and, where the model has it, "attention";
                            // features where the run made them
  wsi::RgbImage heatmap;    // instance scores from 0 to 1 over a thumbnail; empty: no coordinates
  /// Patches that score region_score and more, in the class of what the slide is called: `Tumor` (or the
  /// dataset's name of it) on a slide called positive, `Suspicious` on one called negative.
  std::optional<wsi::Annotations> regions;  // nothing: no coordinates
};

/// Encoder, MIL model and threshold of one variant of a run at its selected round.
class Predictor {
 public:
  /// Throws Error naming what is missing in the folder, or is not what result.json speaks of.
  explicit Predictor(PredictorOptions options);

  const PredictionModel& model() const { return model_; }
  /// Empty for a run that embeds slides itself; else what it is, for errors: "runs/uni was trained on features
  /// of width 1024".
  std::string features_run() const;
  /// Fingerprint of the slide (or its features), and of everything else that decides its result.
  struct Source {
    std::string sha256;
    std::string made_from;
  };
  Source source_of(const SlideRecord& record) const;

  /// The slide at record.path: tiled, embedded, and scored in one pass of the bag model. Or the features
  /// there, scored. No slide's result depends on another's. Throws Error naming the file.
  Prediction predict(const SlideRecord& record) const;

 private:
  Prediction from_slide(const SlideRecord& record) const;
  Prediction from_features(const SlideRecord& record) const;
  /// Scores of a bag (N,D), into result and instances.
  void score(const Tensor& bag, Prediction& prediction) const;

  PredictorOptions options_;
  Config config_;
  PredictionModel model_;
  Encoder encoder_;  // no network where the run has features
  TrainedMil mil_;
};

/// The files of a slide, name and content, in the order in which they are to be written.
std::vector<std::pair<std::string, std::string>> prediction_files(const Prediction& prediction);
/// Their names, of whatever a slide of this id may get.
std::vector<std::string> prediction_file_names(const std::string& slide_id);

}  // namespace mt::train
