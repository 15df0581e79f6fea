#pragma once
// What a run will take: hours, disk and memory of each stage, from a few seconds of its own work on this machine.

#include <string>
#include <vector>

#include "train/data/datasets/dataset.h"
#include "train/data/preflight.h"
#include "train/settings/config.h"

namespace mt::train {

struct StageEstimate {
  std::string name;
  double seconds = 0;
  double disk_bytes = 0;    // that stay in the run folder
  double memory_bytes = 0;  // of tensors at a time
};

struct RunEstimate {
  std::vector<StageEstimate> stages;
  int64_t patches = 0;
  double timed_seconds = 0;  // that finding out took

  StageEstimate total() const;
};

/// For a run that begins from nothing. Times the encoder, one step of contrastive training and one of MIL training on random pixels and
/// features of the sizes that the run will have, each for about half a second, and scales them; what was tiled and decoded in the preflight is
/// timed there. Hard negatives are counted by --negative-ratio, rounds as if none was rolled back.
RunEstimate estimate_run(const Dataset& dataset, const PreflightFacts& facts, const Config& config);

/// Prints the estimate as a table. Throws Error where the disk has less room than the run will need.
void say_what_it_takes(const Dataset& dataset, const PreflightFacts& facts, const Config& config);

}  // namespace mt::train
