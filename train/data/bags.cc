#include "train/data/bags.h"

#include <algorithm>
#include <cmath>

#include "autograd/arithmetic.h"
#include "tensor/check.h"
#include "train/feature_files/feature_files.h"

namespace mt::train {

namespace fs = std::filesystem;

Bags::Bags(std::span<const TiledSlide> slides, fs::path folder, bool own, Device device,
           const std::string& key, std::size_t cache_bytes)
    : slides_(slides), folder_(std::move(folder)), key_(key), device_(device), cache_limit_(cache_bytes) {
  if (!own) foreign_.emplace(folder_);
}

Tensor Bags::load(std::size_t slide) const {
  const std::string& id = slides_[slide].record.id;
  const fs::path path = foreign_ ? foreign_->file_of(id) : folder_ / (id + ".h5");
  Tensor features =
      (foreign_ ? read_features(path.string(), key_) : read_own_features(path.string())).features;  // (N,D)
  check(features.dim(0) > 0, "{}: holds no instance", path.string());
  return features;
}

Tensor Bags::bag(std::size_t slide) {
  if (const auto found = cache_.find(slide); found != cache_.end()) return found->second;
  Tensor features = moved_to(load(slide), device_);
  if (features.bytes() > cache_limit_) return features;
  cached_bytes_ += features.bytes();
  cache_[slide] = features;
  order_.push_back(slide);
  while (cached_bytes_ > cache_limit_) {
    cached_bytes_ -= cache_[order_.front()].bytes();
    cache_.erase(order_.front());
    order_.pop_front();
  }
  return features;
}

int64_t Bags::feature_width() {
  return bag(0).dim(1);
}

FeatureCentring Bags::centring_of_training_slides() {
  std::vector<double> sum;
  double squares = 0;
  int64_t count = 0;
  for (std::size_t s = 0; s < slides_.size(); ++s) {
    if (slides_[s].record.split != Split::train) continue;
    const Tensor features = moved_to(bag(s), Device::cpu);  // (N,D)
    const int64_t width = features.dim(1);
    sum.resize(static_cast<std::size_t>(width));
    const float* x = features.data<float>();
    for (int64_t i = 0; i < features.dim(0); ++i) {
      for (int64_t d = 0; d < width; ++d) {
        const double value = x[i * width + d];
        sum[static_cast<std::size_t>(d)] += value;
        squares += value * value;
      }
    }
    count += features.dim(0);
  }
  check(count > 0, "mil: there are no training instances");
  std::vector<float> mean(sum.size());
  double mean_square = 0;
  for (std::size_t d = 0; d < sum.size(); ++d) {
    mean[d] = static_cast<float>(sum[d] / static_cast<double>(count));
    mean_square += sum[d] / static_cast<double>(count) * (sum[d] / static_cast<double>(count));
  }
  const double variance =
      (squares / static_cast<double>(count) - mean_square) / static_cast<double>(sum.size());
  FeatureCentring centring;
  centring.mean = Tensor::of(mean, {static_cast<int64_t>(mean.size())});
  centring.factor = static_cast<float>(1.0 / std::sqrt(std::max(variance, 1e-12)));
  return centring;
}

}  // namespace mt::train
