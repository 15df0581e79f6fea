#pragma once
// The method: embed, train MIL, mine, fine-tune, and round again; for one variant or for the whole ablation.

#include "train/run/context.h"
#include "train/run/result.h"

namespace mt::train {

/// Runs every stage that the configuration asks for and that the run folder does not hold yet, and evaluates.
/// With a shard, only tiles of that part are embedded and an empty result comes back.
RunResult run_method(RunContext& context);

/// Where a variant's round lives inside of the run folder: "rounds/initial+ranking" (shared by all methods)
/// or "rounds/hnm+ranking/2".
std::string round_folder(const std::string& method, bool ranking, int64_t round);

}  // namespace mt::train
