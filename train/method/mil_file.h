#pragma once
// A trained bag model on disk.

#include <filesystem>
#include <memory>

#include "models/mil.h"
#include "train/settings/choices.h"

namespace mt::train {

struct TrainedMil {
  std::unique_ptr<MilModel> model;
  double threshold = 0.5;  // on the slide score, chosen on validation
};

/// Weights and feature centring by name, kind and threshold in the metadata; sealed.
void save_mil(const std::filesystem::path& file, const MilModel& model, MilKind kind, double threshold);
/// What save_mil() wrote, on `device`. Throws Error naming the file.
TrainedMil load_mil(const std::filesystem::path& file, Device device);

}  // namespace mt::train
