#pragma once
// A run on disk: which steps are finished, checkpoints within a step, the log, what it was made from.
// state.json says what is done; it is replaced atomically after everything that it speaks of is on disk, so a
// run can be killed at any moment. Every file that a run writes carries a checksum (tensor/io/seal.h), which
// is checked when the file is read; a file that is deleted is made anew.

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/io/named_tensors.h"
#include "train/run/json_line.h"
#include "train/run/manifest.h"
#include "train/run/run_state.h"
#include "train/settings/config.h"

namespace mt::train {

/// What to do about a damaged file of a run.
inline constexpr std::string_view kRunFileRemedy = "delete it, and the same train command makes it anew";

class RunFolder {
 public:
  /// Opens or creates the folder, takes its lock (not for shards, which may be many), and cuts log.jsonl back
  /// to what state.json knows. Throws Error when another process holds the lock, when a file is damaged, or
  /// when the folder belongs to another configuration: the message names every key that differs.
  RunFolder(std::filesystem::path folder, const Config& config);
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  const std::filesystem::path& path() const { return folder_; }
  /// A path inside of the run folder; parent folders are made. Throws Error for one that leads out of it.
  std::filesystem::path file(const std::string& relative) const;
  /// The path of a file that is about to be read: its checksum is right, and it is the one that its step
  /// wrote. Throws Error that names it and says what to do.
  std::filesystem::path checked(const std::string& relative) const;

  /// What the run was made from; nothing before the first record_inputs().
  const std::optional<Manifest>& manifest() const { return manifest_; }
  /// Keeps what the run is made from, as manifest.json and split.csv.
  void record_inputs(Manifest manifest);
  /// Writes split.csv, of the manifest.
  void write_split() const;
  /// Whether anything was learned from the inputs, so that they may no longer change.
  bool has_trained() const;

  /// Whether a step is finished and all that it wrote is there.
  bool done(const std::string& step) const;
  /// Devices on which a part of the run was computed before --switch-device.
  const std::set<std::string>& devices_before() const { return state_.devices_before; }
  /// The record of a finished step; throws when it is not finished.
  const StepRecord& record(const std::string& step) const;
  const std::map<std::string, StepRecord>& records() const { return state_.steps; }
  /// Marks a step finished: log synced, state.json replaced, the step's checkpoint removed. `files` are the
  /// sealed files that it wrote, by path inside of the folder. Where a file was made anew and came out
  /// different (on another device, say), the steps that were finished after it are taken for not done.
  void finish(const std::string& step, StepRecord record, const std::vector<std::string>& files = {});
  /// Takes a step for not done.
  void forget(const std::string& step);

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
  bool open_config(const Config& config);
  void open_manifest();
  void remove_stray_checkpoints() const;
  void forget_after(const std::string& step);
  void sync_state();

  std::filesystem::path folder_;
  bool shard_;
  bool pretrains_;  // the step "pretrain" learns, and does not only lay the weights there
  int lock_ = -1;
  std::unique_ptr<RunLog> log_;  // none for a shard
  RunState state_;
  std::optional<Manifest> manifest_;
};

/// Writes tensors with a seal.
void write_sealed_tensors(const std::filesystem::path& file, const NamedTensors& tensors,
                          std::map<std::string, std::string> metadata = {});

/// The settings of a run folder. Throws Error where config.toml is missing, damaged, or of an older version.
Config read_run_config(const std::filesystem::path& folder);

}  // namespace mt::train
