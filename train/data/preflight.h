#pragma once
// Everything that can be known to go wrong is said before anything is computed.

#include "train/data/datasets/dataset.h"

namespace mt::train {

/// Opens every slide and annotation, prints one line per problem and what the run will need (patches, disk,
/// hours are estimates from slide areas). Slides with problems are taken out of the dataset when
/// config.skip_bad_slides, and counted; otherwise an Error ends the run here. Returns the number of slides
/// left out.
int64_t preflight(Dataset& dataset, const Config& config);

}  // namespace mt::train
