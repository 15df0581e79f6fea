#include "train/run/run_files.h"

namespace mt::train {

std::string Variant::name() const {
  return std::string(choice_name(method)) + (ranking ? "+ranking" : "");
}

std::filesystem::path RunFiles::tiles(const std::string& slide_id) const {
  return folder_ / "tiles" / (slide_id + ".safetensors");
}

std::filesystem::path RunFiles::checkpoint(int64_t number) const {
  return checkpoints() / (std::to_string(number) + ".safetensors");
}

RoundFiles::RoundFiles(std::filesystem::path run, Variant variant, int64_t round)
    : run_(std::move(run)), round_(round) {
  if (round == 0) {
    name_ = std::string("rounds/initial") + (variant.ranking ? "+ranking" : "");
    features_ = "features/initial";
  } else {
    name_ = "rounds/" + variant.name() + "/" + std::to_string(round);
    features_ = "features/" + variant.name() + "/" + std::to_string(round);
  }
}

std::filesystem::path RoundFiles::encoder() const {
  return round_ == 0 ? RunFiles(run_).initial_encoder() : run_ / name_ / "encoder.safetensors";
}

std::string RoundFiles::features_label() const {
  return features_.substr(features_.find('/') + 1);
}

std::filesystem::path RoundFiles::features(const std::string& slide_id) const {
  return features() / (slide_id + ".h5");
}

}  // namespace mt::train
