#pragma once
// What predict finds out, as predictions.json and predictions.csv tell it.

#include <array>
#include <cmath>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "train/run/record.h"

namespace mt::train {

// Files of a slide: its id and one of these. None is a name under which people keep annotations or slides.
inline constexpr const char* kScoresEnding = ".h5";
inline constexpr const char* kHeatmapEnding = "_heatmap.png";
inline constexpr const char* kGeojsonEnding = "_regions.geojson";
inline constexpr const char* kAsapEnding = "_regions.xml";
inline constexpr std::array<const char*, 4> kResultEndings = {kScoresEnding, kHeatmapEnding, kGeojsonEnding,
                                                              kAsapEnding};

/// The model that predicts: of one variant of a run, at its selected round.
struct PredictionModel {
  std::string run;  // its folder
  std::string variant;
  std::string weights_sha256;
  std::array<std::string, 2> classes;  // what labels 0 and 1 are called
  double threshold = 0;                // on the slide score; chosen on validation
};

/// The result of one slide, and what it was made from.
struct SlidePrediction {
  std::string slide_id;
  std::string path;           // of the slide, or of its features; absolute
  double score = 0;           // sigmoid of the bag logit
  double threshold = 0;       // the model's
  bool positive = false;      // score at or above the threshold
  std::string call;           // the name of that class
  int64_t patches = 0;        // instances of the bag
  double mpp = std::nan("");  // micrometres per pixel of the patches; NaN: not known
  double level0_mpp = std::nan("");
  double scale_bar_um = std::nan("");  // length of the bar in the heatmap; NaN: it has none
  double highest_instance_score = 0;
  double region_score = 0;  // least instance score in a region
  int64_t regions = 0;
  std::string region_class;                  // of the regions in the annotation files
  std::string device;                        // that computed, with the CPU's instruction set
  std::string source_sha256;                 // of what `path` names: whole, or its first and last 256 KiB
  std::string made_from;                     // hash of everything that decides the result
  std::vector<std::string> notes;            // what a reader must know of the slide
  std::map<std::string, std::string> files;  // file name in the folder → SHA-256

  template <typename Self, typename Visitor>
  static void visit(Self& self, Visitor&& visitor) {
    visitor("slide_id", self.slide_id);
    visitor("path", self.path);
    visitor("score", self.score);
    visitor("threshold", self.threshold);
    visitor("positive", self.positive);
    visitor("call", self.call);
    visitor("patches", self.patches);
    visitor("mpp", self.mpp);
    visitor("level0_mpp", self.level0_mpp);
    visitor("scale_bar_um", self.scale_bar_um);
    visitor("highest_instance_score", self.highest_instance_score);
    visitor("region_score", self.region_score);
    visitor("regions", self.regions);
    visitor("region_class", self.region_class);
    visitor("device", self.device);
    visitor("source_sha256", self.source_sha256);
    visitor("made_from", self.made_from);
  }
};

/// A slide without a result.
struct FailedSlide {
  std::string slide_id;
  std::string path;
  std::string reason;
};

struct Predictions {
  PredictionModel model;
  std::map<std::string, SlidePrediction> slides;  // by id
  std::map<std::string, FailedSlide> failed;      // by id
  std::map<std::string, std::string> files;       // those of no slide: name → SHA-256
};

/// predictions.json, sealed; docs/predictions.schema.json is its schema.
std::string to_json(const Predictions& predictions);
/// Throws std::exception when the text is no such file; its seal is the caller's to check.
Predictions predictions_from(const std::string& json);
/// predictions.csv: a row a slide, by id, those that failed with their reason under `error`.
std::string to_csv(const Predictions& predictions);

/// One slide as a line of JSON, for the journal of work at hand, and back.
std::string to_json(const SlidePrediction& slide);
SlidePrediction prediction_from(const std::string& json);

/// Text from outside as JSON, CSV and HDF5 can hold it: what is not UTF-8 as \xNN.
std::string as_utf8(const std::string& text);

}  // namespace mt::train
