#pragma once
// Whether a run folder is still about the data that the same command names now.
//
// The rule: until something was learned (pre-training or MIL training has begun), whatever differs is taken
// as it is now, with a note, and tiles and features of what changed are made anew. From then on the data of a
// run are what they were: a difference ends the program with one line that names it. Slides that were left
// out by
// --skip-bad-slides stay out, whatever becomes of them; a slide that is part of the run and cannot be read is
// an error, for going on without it would mix two sets of slides in one result.

#include <filesystem>
#include <map>

#include "train/data/datasets/dataset.h"
#include "train/run/manifest.h"
#include "train/run/run_folder.h"

namespace mt::train {

/// The splits that the run in this folder has drawn, by case, where it has. Throws Error when the manifest is
/// damaged.
std::map<std::string, Split> splits_drawn_in(const std::filesystem::path& run);

/// Holds what the run is to be made from against what it was made from. Takes slides that the run goes
/// without out of the dataset and of `now`, with a note in the dataset. Throws Error "RUN: slides.csv has
/// changed since this run began: …" where something was learned from other data. Returns how many slides the
/// run goes without.
int64_t compare_inputs(RunFolder& folder, Dataset& dataset, Manifest& now);

/// Puts a slide of which a patch cannot be read out of the run, for good: it stays out until its file is another. The same command
/// then begins again without it, to the same bytes as if it had been known from the first patch. Pre-training that had finished without
/// meeting the damage stays.
void quarantine(RunFolder& folder, const std::string& slide_id, const std::string& why);

/// For a dry run: whether the real one could begin in this folder. Throws Error where it belongs to other
/// settings or data, is damaged, or cannot be written.
void check_run_folder(const Config& config, Dataset& dataset);

/// Keeps in the folder what the run is made from: `now`, of which those that are no longer in the dataset
/// were left out. Where something was learned already nothing is kept, and a slide that was part of the run
/// and is left out now is an Error.
void keep_inputs(RunFolder& folder, const Dataset& dataset, Manifest now);

}  // namespace mt::train
