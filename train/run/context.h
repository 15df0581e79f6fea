#pragma once
// What every stage works on.

#include <chrono>
#include <string>
#include <vector>

#include "train/data/datasets/dataset.h"
#include "train/data/patches.h"
#include "train/data/tiles.h"
#include "train/run/run_folder.h"
#include "train/settings/config.h"

namespace mt::train {

struct RunContext {
  const Config& config;
  RunFolder& folder;
  const Dataset& dataset;                 // names of classes, notes, what was left out …
  const std::vector<TiledSlide>& slides;  // … and the slides themselves, with their patches
  PatchSource& patches;

  /// False where the run has features only: there is nothing to look at.
  bool has_patches() const { return config.features.empty(); }
};

/// Seconds since it was made, plus what a checkpoint says was spent before.
class Stopwatch {
 public:
  explicit Stopwatch(double before = 0) : before_(before), begin_(std::chrono::steady_clock::now()) {}
  double seconds() const {
    return before_ + std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
  }

 private:
  double before_;
  std::chrono::steady_clock::time_point begin_;
};

}  // namespace mt::train
