#pragma once
// The scores that a round's bag model gives, on disk.

#include <filesystem>
#include <span>
#include <vector>

#include "tensor/io/named_tensors.h"
#include "train/data/tiles.h"

namespace mt::train {

/// scores[slide] holds one score per patch, in the order of the grid; empty where there are none.
using InstanceScores = std::vector<std::vector<float>>;

/// Collects the scores of slides, then writes them.
class ScoreFile {
 public:
  /// scores (N), on the cpu
  void add_instances(const std::string& slide_id, const Tensor& scores);
  void add_slide(const std::string& slide_id, double score);
  void write(const std::filesystem::path& file) const;

 private:
  NamedTensors tensors_;
};

/// One vector per slide.
InstanceScores read_instance_scores(const std::filesystem::path& file, std::span<const TiledSlide> slides);
/// One per slide; NaN where the file has none.
std::vector<double> read_slide_scores(const std::filesystem::path& file, std::span<const TiledSlide> slides);

}  // namespace mt::train
