#pragma once
// The kinds of dataset that --data can name. To add one: a loader in this folder and an entry in registry.cc.

#include <filesystem>
#include <span>
#include <string>

#include "train/data/datasets/dataset.h"

namespace mt::train {

struct DatasetKind {
  const char* name;  // how errors call it: "phantom", or what a file must end in
  bool (*is_named_by)(const std::string& data);
  /// Empty, or what is missing beside --data, as one line.
  std::string (*missing)(const Config& config);
  /// The slides as the dataset itself lists them: `root` is its folder.
  Dataset (*load)(const Config& config, const std::filesystem::path& root);
  /// "the phantom": behind the word "on" in the report's title.
  std::string (*describe)(const Config& config);
  bool lies_in_run = false;      // train writes it into the run folder
  bool test_is_known = false;    // its slides say which of them are test slides
  const char* known_split = "";  // a hint where no split is given
};

std::span<const DatasetKind> dataset_kinds();
/// The kind that config.data names. Throws UsageError that says what there is, or what is missing.
const DatasetKind& dataset_kind(const Config& config);
/// Where the dataset lies: --root, or `phantom_root` for what train writes itself.
std::filesystem::path dataset_root(const Config& config, const std::filesystem::path& phantom_root);

}  // namespace mt::train
