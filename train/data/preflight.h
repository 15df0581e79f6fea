#pragma once
// Everything that can be known to go wrong is said before anything is computed.

#include <functional>

#include "train/data/datasets/dataset.h"

namespace mt::train {

/// Reads every feature file, or opens every slide and annotation; a positive slide with outlines is tiled,
/// to see whether they touch it (not where `is_tiled` says that the run has its tiles). Prints notes, one
/// line per problem, all of them, and what the run will need (patches, disk and hours are estimates from
/// slide areas). Slides with problems are taken out of the dataset when config.skip_bad_slides, and counted;
/// otherwise an Error ends the run here. Returns the number of problems.
int64_t preflight(Dataset& dataset, const Config& config,
                  const std::function<bool(const SlideRecord&)>& is_tiled = {});

}  // namespace mt::train
