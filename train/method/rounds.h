#pragma once
// The method: embed, train MIL, mine, fine-tune, and round again; for one variant or for the whole ablation.

#include "train/run/context.h"
#include "train/run/result.h"

namespace mt::train {

/// Runs every stage that the configuration asks for and that the run folder does not hold yet, and evaluates.
/// With a shard, only tiles of that part are embedded and an empty result comes back.
RunResult run_method(RunContext& context);

}  // namespace mt::train
