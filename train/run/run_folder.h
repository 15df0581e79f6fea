#pragma once
// A run on disk: which steps are finished, checkpoints within a step, the log. One file, state.json, says
// what is done; it is replaced atomically after everything that it speaks of is on disk, so a run can be
// killed at any moment.

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tensor/io/named_tensors.h"
#include "train/run/json_line.h"
#include "train/settings/config.h"

namespace mt::train {

/// What a finished step left behind for later steps, the table and the report.
struct StepRecord {
  double seconds = 0;
  std::map<std::string, double> numbers;     // "updates", "images", metrics
  std::map<std::string, std::string> texts;  // choices and warnings
};

class RunFolder {
 public:
  /// Opens or creates the folder, takes its lock (not for shards, which may be many), and cuts log.jsonl back
  /// to what state.json knows. Throws Error when another process holds the lock, or when the folder belongs
  /// to another configuration: the message names every key that differs.
  RunFolder(std::filesystem::path folder, const Config& config);
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  const std::filesystem::path& path() const { return folder_; }
  /// A path inside of the run folder; parent folders are made.
  std::filesystem::path file(const std::string& relative) const;

  bool done(const std::string& step) const { return steps_.contains(step); }
  /// Devices on which a part of the run was computed before --switch-device.
  const std::set<std::string>& devices_before() const { return devices_before_; }
  /// The record of a finished step; throws when it is not finished.
  const StepRecord& record(const std::string& step) const;
  const std::map<std::string, StepRecord>& records() const { return steps_; }
  /// Marks a step finished: log synced, state.json replaced, the step's checkpoint removed.
  void finish(const std::string& step, StepRecord record);

  /// The newest checkpoint of an unfinished step.
  struct Checkpoint {
    NamedTensors tensors;
    std::map<std::string, std::string> values;
    double seconds = 0;  // spent on the step before
  };
  std::optional<Checkpoint> checkpoint(const std::string& step) const;
  void save_checkpoint(const std::string& step, const NamedTensors& tensors,
                       const std::map<std::string, std::string>& values, double seconds);

  /// Appends a line {"event": event, …members} to log.jsonl (on disk with the next checkpoint or finished
  /// step).
  void log(const std::string& event, JsonObject members);

 private:
  struct Pending {
    std::string file;
    double seconds = 0;
    std::map<std::string, std::string> values;
  };
  void read_state();
  void write_state();
  void sync_log();

  std::filesystem::path folder_;
  bool shard_;
  int lock_ = -1;
  int log_ = -1;
  std::string log_buffer_;
  uint64_t log_bytes_ = 0;
  std::map<std::string, StepRecord> steps_;
  std::map<std::string, Pending> checkpoints_;
  int64_t checkpoint_number_ = 0;
  std::set<std::string> devices_before_;
};

/// Throws an Error with `expected` and what is in the folder when the folder was made by another
/// configuration.
void check_same_configuration(const std::filesystem::path& config_file, const Config& now);

}  // namespace mt::train
