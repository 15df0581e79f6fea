#pragma once
// A folder of features, as programs leave it: one file a slide, here or some folders below.

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "train/data/datasets/files_by_name.h"

namespace mt::train {

/// Whether a file called so may hold features: by its ending.
bool is_feature_file(std::string_view name);

/// Finds the feature files of slides: .h5, .hdf5, .pt, .pth, .safetensors and .csv, in any case of the
/// ending, called as the slide with or without its own ending. Read are the folder, the folders in it
/// (DSMIL has one a class, CLAM h5_files and pt_files) and those in these (a job of TRIDENT has
/// 20x_256px_0px_overlap/features_uni_v1).
class FeatureFolder {
 public:
  /// Throws Error when it is not there. The folder `without` in it is left out.
  explicit FeatureFolder(std::filesystem::path folder, const std::filesystem::path& without = {});

  /// The file of a slide. Of several in one folder the first ending of the list above is taken, of CLAM's two
  /// folders h5_files. Throws Error for none, saying what was looked for, and for files of two folders,
  /// between which nobody can choose.
  std::filesystem::path file_of(const std::string& id) const;
  /// Whether there is any.
  bool has(const std::string& id) const;
  /// What the slides are called of which it has features: names of files without their ending, sorted. Tables
  /// (.csv) count where there is nothing else, as in DSMIL's folders.
  std::vector<std::string> ids() const;

 private:
  std::filesystem::path folder_;
  FilesByName files_;
};

}  // namespace mt::train
