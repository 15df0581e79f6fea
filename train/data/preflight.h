#pragma once
// Everything that can be known to go wrong is said before anything is computed.

#include <functional>
#include <map>
#include <string>

#include "train/data/datasets/dataset.h"
#include "train/data/tiles.h"

namespace mt::train {

/// What the preflight learned on its way. Slides that were taken out are in none of it.
struct PreflightFacts {
  int64_t problems = 0;
  int64_t feature_width = 0;  // of --features; else 0
  /// Of slides that had to be tiled: in a dry run all, else annotated positive ones.
  std::map<std::string, SlideTiles> tiles;
  std::map<std::string, int64_t> instances;  // of --features: rows by slide
  double tiling_seconds = 0;                 // a slide, on one thread; 0: none was tiled
  double decoding_seconds = 0;               // a patch, on one thread; 0: none was decoded
};

/// Reads every feature file, or opens every slide and annotation; a positive slide with outlines is tiled, to see whether they touch it
/// (not where `is_tiled` says that the run has its tiles). In a dry run every slide is tiled, and some of its patches are decoded, the
/// last one among them. Prints notes, one line per problem, all of them, and what the run is made of. Slides with problems are taken out
/// of the dataset when config.skip_bad_slides, and counted; otherwise an Error ends the run here.
PreflightFacts preflight(Dataset& dataset, const Config& config,
                         const std::function<bool(const SlideRecord&)>& is_tiled = {});

}  // namespace mt::train
