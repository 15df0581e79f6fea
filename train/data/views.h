#pragma once
// Random views of patches for contrastive learning.

#include <cstdint>
#include <vector>

#include "kernels/augment/augment.h"
#include "train/data/device_feed.h"
#include "train/data/patches.h"

namespace mt::train {

/// The policy that the --view-* options describe.
AugmentPolicy view_policy(const Config& config);

/// Two views of each patch, where the pixels are: first all first views, then all second views,
/// (2B,patch,patch,3) of u8. Random numbers are keyed by (seed, step, patch, view), so they do not depend on
/// the batch's order, and are drawn on the cpu.
Tensor two_views(const DeviceFeed::Batch& batch, const PatchSource& source, const AugmentPolicy& policy,
                 uint64_t seed, uint32_t step);

}  // namespace mt::train
