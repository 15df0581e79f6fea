#pragma once
// Bags of features for MIL training, read from one file per slide.

#include <cstdint>
#include <deque>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "models/mil.h"
#include "tensor/tensor.h"
#include "train/data/feature_folder.h"
#include "train/data/tiles.h"

namespace mt::train {

/// Gives the bag of each slide. Keeps at most `cache_bytes` of bags in memory, in the
/// order of use.
class Bags {
 public:
  /// `own`: feature files are `folder`/ID.h5, written by this program and read in this process. Else they are
  /// foreign: found as FeatureFolder says, read by `key` (see read_features). Bags are given, and kept, on
  /// `device`.
  Bags(std::span<const TiledSlide> slides, std::filesystem::path folder, bool own,
       Device device = Device::cpu, const std::string& key = {},
       std::size_t cache_bytes = std::size_t{1} << 30);

  /// (N,D)
  Tensor bag(std::size_t slide);
  int64_t feature_width();
  /// Mean and one global scale over the training slides' instances, summed in double in the slides' order.
  FeatureCentring centring_of_training_slides();

 private:
  /// On the cpu.
  Tensor load(std::size_t slide) const;

  std::span<const TiledSlide> slides_;
  std::filesystem::path folder_;
  std::optional<FeatureFolder> foreign_;  // nothing where the files are our own
  std::string key_;
  Device device_;
  std::size_t cache_limit_;
  std::size_t cached_bytes_ = 0;
  std::map<std::size_t, Tensor> cache_;
  std::deque<std::size_t> order_;
};

}  // namespace mt::train
