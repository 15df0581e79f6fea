#pragma once
// The HDF5 side of train/feature_files/feature_files.h.

#include <string>

#include "train/feature_files/feature_files.h"

namespace mt::train {

/// Parses an .h5 feature file in this process.
SlideFeatures parse_hdf5_features(const std::string& path);

/// The same in a child process, so that a crash of libhdf5 is an Error of this file.
SlideFeatures parse_hdf5_features_in_child(const std::string& path);

}  // namespace mt::train
