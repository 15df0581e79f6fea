#pragma once
// Feature files, one per slide. Written: HDF5 in the layout that TRIDENT and CLAM use. Read: HDF5 of these,
// STAMP and TIAToolbox, torch's and safetensors' files, and DSMIL's `.csv`.

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tensor/io/named_tensors.h"

namespace mt::train {

/// Attributes of the dataset `coords`, named as in TRIDENT's files. Other programs leave out some or all.
struct FeatureAttributes {
  std::optional<std::string> name;             // the slide's
  std::optional<int64_t> patch_size;           // pixels at the target magnification
  std::optional<int64_t> patch_size_level0;    // pixels at level 0
  std::optional<double> level0_magnification;  // 40, 20, …
  std::optional<double> target_magnification;  // of the patches
  std::optional<int64_t> overlap;              // pixels at the target magnification
  std::optional<int64_t> level0_width;         // of the slide, pixels
  std::optional<int64_t> level0_height;
  std::optional<double> mpp;  // micrometres per pixel of the patches; written only
};

struct SlideFeatures {
  Tensor features;  // (N,D) f32; undefined in a file of scores alone
  Tensor coords;  // (N,2) i64: x, y of each patch's upper left corner, level-0 pixels; undefined if not known
  FeatureAttributes attributes;
  std::string made_from;   // hash of what they were made from, 64 digits; empty: not kept
  NamedTensors instances;  // more datasets with one f32 or i64 per patch, (N) each, such as instance scores
  /// Text attributes of the file as a whole, such as what made it; written only.
  std::vector<std::pair<std::string, std::string>> origin;
};

/// The bytes of an .h5 file: `features` and `coords` (when defined) with its attributes, and one dataset for
/// each of `instances`. Behind HDF5's last byte, where other readers do not look, stands `made_from` and a
/// checksum of the file (tensor/io/seal.h). The same input gives the same bytes. `path` is for messages.
std::string features_file(const std::string& path, const SlideFeatures& slide);
/// Writes them atomically.
void write_features(const std::string& path, const SlideFeatures& slide);

/// Reads a feature file of unknown origin, by its ending in any case: .h5/.hdf5, .pt/.pth (one tensor, a
/// dict, or a tuple that begins with the features), .safetensors, .csv (a header, then D numbers a line).
/// Features are (N,D), (1,N,D) or (N,1,D), of f16, bf16, f32 or f64, called `key`, or where that is empty
/// features, feats or embeddings. Coords are taken where they are usable (see usable_coords). HDF5 is parsed
/// in a child process, because libhdf5 is not hardened: its crash is an Error for this file and nothing more;
/// a writer that has it open is named where the file system has locks. Throws Error on missing features,
/// naming what the file holds, shapes that do not fit, and NaN or infinity in the features.
SlideFeatures read_features(const std::string& path, const std::string& key = {});

/// Reads an .h5 file that write_features wrote, in this process, once its checksum is right: libhdf5 sees no
/// byte of a damaged one. Throws Error that says what to do.
SlideFeatures read_own_features(const std::string& path);

}  // namespace mt::train
