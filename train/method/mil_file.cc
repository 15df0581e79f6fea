#include "train/method/mil_file.h"

#include <charconv>

#include "models/weights.h"
#include "tensor/check.h"
#include "tensor/io/safetensors.h"
#include "tensor/io/seal.h"
#include "train/run/run_folder.h"

namespace mt::train {
namespace {

constexpr const char* kKind = "kind";
constexpr const char* kThreshold = "threshold";
constexpr const char* kFeatureWidth = "feature_width";

template <typename T>
T parsed(const std::string& text, const std::string& key, const std::string& file) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  check(error == std::errc() && end == text.data() + text.size(), "{}: its {} is \"{}\"", file, key, text);
  return value;
}

}  // namespace

void save_mil(const std::filesystem::path& file, const MilModel& model, MilKind kind, double threshold) {
  write_sealed_tensors(file, state_dict(model),
                       {{"model", model.describe()},
                        {kKind, choice_name(kind)},
                        {kFeatureWidth, std::to_string(model.feature_width())},
                        {kThreshold, fmt::format("{}", threshold)}});
}

TrainedMil load_mil(const std::filesystem::path& path, Device device) {
  check_seal(path.string(), kRunFileRemedy);
  const SafetensorsFile file(path.string());
  const auto metadata = [&](const char* key) {
    const auto found = file.metadata().find(key);
    check(found != file.metadata().end(), "{}: does not say its {}, so it is no bag model of this version",
          path.string(), key);
    return found->second;
  };
  const auto kind = choice_of<MilKind>(metadata(kKind));
  check(kind.has_value(), "{}: its {} is \"{}\"", path.string(), kKind, metadata(kKind));
  const auto width = parsed<int64_t>(metadata(kFeatureWidth), kFeatureWidth, path.string());
  TrainedMil trained;
  trained.threshold = parsed<double>(metadata(kThreshold), kThreshold, path.string());
  trained.model = make_mil_model(*kind, width, 0, device);
  const StateDict weights = file.read_all();
  for (const auto& [name, tensor] : weights) {
    if (name == MilModel::kCentringMean) trained.model->set_centring({tensor, 1});
  }
  LoadOptions options;
  options.source = path.string();
  load_state_dict(*trained.model, weights, options);
  return trained;
}

}  // namespace mt::train
