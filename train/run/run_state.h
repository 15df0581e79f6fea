#pragma once
// state.json: what of a run is done. Replaced atomically after everything that it speaks of is on disk.

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "train/run/record.h"
#include "train/run/run_log.h"

namespace mt::train {

struct RunState {
  /// A file of a finished step, and the digits of its seal.
  struct Written {
    std::string step;
    std::string sha256;
  };
  struct Pending {
    int64_t number = 0;  // of the checkpoint's file
    Fields record;       // so far
  };

  std::string settings_sha256;  // of what identifies the run's settings
  std::string manifest_sha256;  // digits of manifest.json's seal; empty: none was written yet
  RunLog::Known log;
  int64_t checkpoint_number = 0;
  std::set<std::string> devices_before;
  std::map<std::string, Fields> steps;         // the records of finished steps (run/records.h)
  std::vector<std::string> order;              // of the finished steps
  std::map<std::string, Written> files;        // by path inside of the run folder
  std::map<std::string, Pending> checkpoints;  // by step
};

/// What to do about a state.json that cannot be read.
inline constexpr std::string_view kStateRemedy =
    "delete it: the run then begins anew, from the tiles and features that are there, and ends the same";

/// Throws Error that names the file and says what deleting it does.
RunState read_state(const std::filesystem::path& file);
void write_state(const std::filesystem::path& file, const RunState& state);

}  // namespace mt::train
