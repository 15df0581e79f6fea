#pragma once
// state.json: what of a run is done. Replaced atomically after everything that it speaks of is on disk.

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "train/run/run_log.h"

namespace mt::train {

/// What a finished step left behind for later steps, the table and the report.
struct StepRecord {
  double seconds = 0;
  std::map<std::string, double> numbers;     // "updates", "images", metrics
  std::map<std::string, std::string> texts;  // choices and warnings
};

struct RunState {
  /// A file of a finished step, and the digits of its seal.
  struct Written {
    std::string step;
    std::string sha256;
  };
  struct Pending {
    std::string file;
    double seconds = 0;
    std::map<std::string, std::string> values;
  };

  std::string settings_sha256;  // of what identifies the run's settings
  std::string manifest_sha256;  // digits of manifest.json's seal; empty: none was written yet
  RunLog::Known log;
  int64_t checkpoint_number = 0;
  std::set<std::string> devices_before;
  std::map<std::string, StepRecord> steps;
  std::vector<std::string> order;              // of the finished steps
  std::map<std::string, Written> files;        // by path inside of the run folder
  std::map<std::string, Pending> checkpoints;  // by step
};

/// Throws Error that names the file and says what deleting it does.
RunState read_state(const std::filesystem::path& file);
void write_state(const std::filesystem::path& file, const RunState& state);

}  // namespace mt::train
