#include "train/run/score_files.h"

#include <limits>

#include "tensor/io/safetensors.h"
#include "train/run/run_folder.h"

namespace mt::train {
namespace {

std::string instances_of(const std::string& slide_id) {
  return "instances." + slide_id;
}

std::string slide_of(const std::string& slide_id) {
  return "slide." + slide_id;
}

}  // namespace

void ScoreFile::add_instances(const std::string& slide_id, const Tensor& scores) {
  tensors_.emplace_back(instances_of(slide_id), scores);
}

void ScoreFile::add_slide(const std::string& slide_id, double score) {
  tensors_.emplace_back(slide_of(slide_id), Tensor::of(std::vector<double>{score}, {1}));
}

void ScoreFile::write(const std::filesystem::path& file) const {
  write_sealed_tensors(file, tensors_);
}

InstanceScores read_instance_scores(const std::filesystem::path& file, std::span<const TiledSlide> slides) {
  const SafetensorsFile scores(file.string());
  InstanceScores result(slides.size());
  for (std::size_t s = 0; s < result.size(); ++s) {
    const std::string name = instances_of(slides[s].record.id);
    if (!scores.has(name)) continue;
    const Tensor tensor = scores[name];
    const auto values = tensor.span<float>();
    result[s].assign(values.begin(), values.end());
  }
  return result;
}

std::vector<double> read_slide_scores(const std::filesystem::path& file, std::span<const TiledSlide> slides) {
  const SafetensorsFile scores(file.string());
  std::vector<double> result(slides.size(), std::numeric_limits<double>::quiet_NaN());
  for (std::size_t s = 0; s < result.size(); ++s) {
    const std::string name = slide_of(slides[s].record.id);
    if (scores.has(name)) result[s] = scores[name].item<double>();
  }
  return result;
}

}  // namespace mt::train
