#pragma once
// The HDF5 side of train/feature_files/feature_files.h.

#include <string>

#include "train/feature_files/feature_files.h"
#include "train/feature_files/names_and_shapes.h"

namespace mt::train {

/// Parses an .h5 feature file in this process; `key` as in read_features(). Features and coords have the
/// shapes of the file.
SlideFeatures parse_hdf5_features(const std::string& path, const std::string& key = {});

/// The same in a child process, so that a crash of libhdf5 is an Error of this file.
SlideFeatures parse_hdf5_features_in_child(const std::string& path, const std::string& key = {});

}  // namespace mt::train
