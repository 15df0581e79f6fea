#pragma once
// Pseudo-labels from instance scores: method.md's step "Mine" (paper section 2.3).

#include <cstdint>
#include <span>
#include <vector>

#include "train/data/patches.h"
#include "train/settings/config.h"

namespace mt::train {

/// Instance scores of the slides that may be mined, in [0, 1].
struct ScoredPatch {
  PatchId id;
  float score = 0;
};

/// What fine-tuning works on for one epoch. Each list is in the order of (slide, tile).
struct MinedSet {
  std::vector<ScoredPatch> positives;        // all pseudo-positives: positive slides, above the threshold
  std::vector<ScoredPatch> paced_positives;  // of those the top self-paced share
  std::vector<ScoredPatch>
      hard_negatives;  // negative slides, at or above the quantile (all of them for its2clr; as many by lot for the controls)
  std::vector<ScoredPatch> easy_negatives;  // the rest of the negative slides
  /// Positive slides, not above the threshold, and of those the lowest self-paced share: most likely normal.
  std::vector<ScoredPatch> paced_uncertain;
  double positive_threshold = 0;
  double negative_threshold = 0;
  double positive_share = 0;  // of positive-slide patches that passed the threshold
  bool fallback = false;      // the threshold passed too few or too many: the top share was taken instead
};

/// scores[slide] holds one score per patch; empty for slides that are not mined. Quantiles interpolate
/// linearly between order statistics, over all slides together. `progress` in [0, 1] is the self-paced
/// position between the first epoch after warm-up and the last. The controls draw their negatives by config.seed and `draw`, the round;
/// `unmined` takes every patch of a positive slide for a positive, all of them from the start. Throws Error when no positive or no negative
/// patch is left.
MinedSet mine(std::span<const TiledSlide> slides, const std::vector<std::vector<float>>& scores,
              const Config& config, Method method, double progress, uint32_t draw = 0);

}  // namespace mt::train
