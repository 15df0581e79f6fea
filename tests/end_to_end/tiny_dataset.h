#pragma once
// The settings and slides of tests that call the stages themselves.

#include <map>
#include <utility>

#include "tests/end_to_end/programs.h"
#include "train/method/stages/stages.h"

namespace mt::end_to_end {

/// --preset tiny on the shared phantom slides.
inline train::Config tiny_config() {
  train::Config config = train::preset_config(train::Preset::tiny, "phantom");
  config.data = "camelyon16";
  config.root = phantom_set().string();
  config.run = "set below";
  config.pretrain = train::Pretraining::simclr;
  return config;
}

/// The shared slides, `slides` of each class and split.
inline train::Dataset dataset_for(const train::Config& config, int slides) {
  train::Dataset dataset = train::load_dataset(config, "");
  std::map<std::pair<train::Split, int>, int> seen;
  std::erase_if(dataset.slides, [&](const auto& slide) {
    return seen[{slide.split, slide.label}]++ >= slides;
  });
  return dataset;
}

}  // namespace mt::end_to_end
