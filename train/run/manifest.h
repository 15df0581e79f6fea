#pragma once
// What a run was made from: every slide with its label, split and files, the weights, and the tables that
// said so. A run folder keeps it as manifest.json, so that the same command again knows whether it is about
// the same data.

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "train/data/datasets/dataset.h"
#include "train/run/fingerprint.h"
#include "train/settings/config.h"

namespace mt::train {

struct SlideInputs {
  std::string id;
  int label = 0;
  Split split = Split::train;
  std::string case_id;
  bool annotation_is_complete = true;
  double mpp = 0;     // that the table gives the slide; 0: none
  Fingerprint slide;  // these three: empty where the run does not read them
  Fingerprint annotation;
  Fingerprint features;  // of --features
  std::string
      left_out;  // why the run goes without this slide (--skip-bad-slides); empty: it is part of the run
  bool is_damaged =
      false;  // left out because a patch could not be read, so it stays out while its file is the same
};

/// A CSV file, and what it was for: "data", "labels", "splits".
struct SourceTable {
  std::string role;
  Fingerprint file;
};

struct Manifest {
  std::vector<SourceTable> tables;
  Fingerprint weights;              // of --weights
  bool split_is_drawn = false;      // no split was given
  std::vector<SlideInputs> slides;  // sorted by id

  const SlideInputs* find(const std::string& id) const;
};

/// Reads what the run is about to be made from: size and content of each file (of slides their ends only; features are read as a whole
/// by the preflight anyway).
Manifest take_manifest(const Config& config, const Dataset& dataset);

/// What differs in content between two manifests; spelling of paths and times do not count, nor slides that
/// were left out, nor files that cannot be read now.
struct ManifestChanges {
  std::vector<std::string> tables;  // names of files that changed
  std::vector<std::string> labels, splits, cases, slides, annotations, features, added, removed;  // slide ids
  std::vector<std::string> weights;  // the file's name, or empty

  bool empty() const;
  /// "slides.csv has changed since this run began: 2 labels (a, b), 1 slide replaced (c)".
  std::string str() const;
};
ManifestChanges changes_since(const Manifest& before, const Manifest& now);

/// manifest.json, with a seal. Reading throws Error that says what deleting the file will do.
void write_manifest(const std::filesystem::path& file, const Manifest& manifest);
Manifest read_manifest(const std::filesystem::path& file);

/// split.csv: slide_id,case_id,label,split of the slides that are part of the run.
std::string split_csv(const Manifest& manifest);

/// The splits that were drawn, by case; nothing where a split was given.
std::map<std::string, Split> drawn_splits(const Manifest& manifest);

/// Hash of all that decides where a slide's patches lie and what is known of them: the slide, its label and
/// annotation, the settings of the grid. A tile file carries it, and is made anew where it differs.
std::string tiles_key(const SlideInputs& inputs, const Config& config);

}  // namespace mt::train
