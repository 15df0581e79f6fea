#pragma once
// A finished run applied to new slides.

#include <array>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "train/data/tiles.h"
#include "train/feature_files/feature_files.h"
#include "train/method/encoder.h"
#include "train/method/mil_file.h"
#include "wsi/annotation.h"
#include "wsi/image.h"

namespace mt::train {

struct Prediction {
  std::string slide_id;
  double score = 0;          // sigmoid of the bag logit
  bool is_positive = false;  // score at or above the threshold that was chosen on validation
  std::string class_name;    // of the class that this calls
  double threshold = 0;
  double given_mpp = 0;      // --mpp-override where the slide says no um/px; 0: it says it
  SlideFeatures features;    // with coordinates, and instances "instance_scores"
  wsi::RgbImage heatmap;     // instance scores over a thumbnail
  wsi::Annotations regions;  // where instance scores are high
};

/// Encoder, MIL model and threshold of one variant of a run at its selected round.
class Predictor {
 public:
  /// `variant` may be empty when the run has only one. `mpp_override` as in training (0: none). Computes on
  /// `device`, whichever the run was trained on. Throws Error naming what is missing in the folder.
  Predictor(const std::filesystem::path& run, const std::string& variant, double mpp_override,
            Device device = Device::cpu);

  /// Tiles, embeds and scores one slide; patches that score `region_score` and more make its regions. Throws
  /// Error naming the slide.
  Prediction predict(const std::filesystem::path& slide, float region_score) const;
  const std::string& variant() const { return variant_; }

 private:
  Config config_;
  std::string variant_;
  Encoder encoder_;
  TrainedMil mil_;
  std::array<std::string, 2> classes_;
};

}  // namespace mt::train
