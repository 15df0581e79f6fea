#include "train/run/training_log.h"

#include <fstream>

#include "train/run/record_json.h"

namespace mt::train {

TrainingLog read_log(const std::filesystem::path& path) {
  TrainingLog log;
  std::ifstream file(path);
  for (std::string text; std::getline(file, text);) {
    const auto line = nlohmann::ordered_json::parse(text, nullptr, false);
    if (!line.is_object()) continue;
    try {
      const Fields fields = fields_from(line);
      const auto& event = std::get<std::string>(find_field(fields, "event"));
      if (event == PretrainStep::kEvent) {
        log.pretraining.push_back(record_of<PretrainStep>(fields));
      } else if (event == MilEpoch::kEvent) {
        const auto epoch = record_of<MilEpoch>(fields);
        log.mil[epoch.out].push_back(epoch);
      } else if (event == FinetuneEpoch::kEvent) {
        const auto epoch = record_of<FinetuneEpoch>(fields);
        log.finetune[epoch.out].push_back(epoch);
      }
    } catch (const std::exception&) {  // a line of another kind
    }
  }
  return log;
}

}  // namespace mt::train
