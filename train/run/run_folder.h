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

#include "tensor/check.h"
#include "tensor/io/named_tensors.h"
#include "train/run/manifest.h"
#include "train/run/records.h"
#include "train/run/run_files.h"
#include "train/run/run_state.h"
#include "train/settings/config.h"

namespace mt::train {

/// What to do about a damaged file of a run.
inline constexpr std::string_view kRunFileRemedy = "delete it, and the same train command makes it anew";

/// What an unfinished step had reached when it was last saved.
template <typename Record>
struct Checkpoint {
  NamedTensors tensors;
  Record record;
};

class RunFolder {
 public:
  /// Opens or creates the folder, takes its lock (not for shards, which may be many), and cuts log.jsonl back
  /// to what state.json knows. Throws Error when another process holds the lock, when a file is damaged, or
  /// when the folder belongs to another configuration: the message names every key that differs.
  RunFolder(std::filesystem::path folder, const Config& config);
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  const RunFiles& files() const { return files_; }
  RoundFiles round(Variant variant, int64_t round) const { return {files_.folder(), variant, round}; }
  /// The same path, of a file that is about to be written; its parent folders are made. Throws Error for one
  /// that leads out of the run folder.
  std::filesystem::path to_write(std::filesystem::path file) const;
  /// The same path, of a file that is about to be read: its checksum is right, and it is the one that its
  /// step wrote. Throws Error that names it and says what to do.
  std::filesystem::path checked(std::filesystem::path file) const;

  /// What the run was made from; nothing before the first record_inputs().
  const std::optional<Manifest>& manifest() const { return manifest_; }
  /// Keeps what the run is made from, as manifest.json and split.csv.
  void record_inputs(Manifest manifest);
  /// Writes split.csv, of the manifest.
  void write_split() const;
  /// Whether anything was learned from the inputs, so that they may no longer change.
  bool has_trained() const;

  /// Whether a step is finished and all that it wrote is there.
  template <typename Record>
  bool done(const Step<Record>& step) const {
    return is_done(step.name);
  }
  /// Devices on which a part of the run was computed before --switch-device.
  const std::set<std::string>& devices_before() const { return state_.devices_before; }
  /// The record of a finished step; throws Error when it is not finished.
  template <typename Record>
  Record record(const Step<Record>& step) const {
    try {
      return record_of<Record>(finished_step(step.name));
    } catch (const Error& error) {
      fail_state(step.name, error.what());
    }
  }
  /// Names and costs of all finished steps.
  std::vector<std::pair<std::string, StepCost>> costs() const;
  /// Marks a step finished: log synced, state.json replaced, the step's checkpoint removed. `files` are the
  /// sealed files that it wrote. Where a file was made anew and came out different (on another device, say),
  /// the steps that were finished after it are taken for not done.
  template <typename Record>
  void finish(const Step<Record>& step, const Record& record,
              const std::vector<std::filesystem::path>& files = {}) {
    finish_step(step.name, fields_of(record), files);
  }
  /// Takes a step for not done.
  template <typename Record>
  void forget(const Step<Record>& step) {
    forget_step(step.name);
  }

  /// The newest checkpoint of an unfinished step.
  template <typename Record>
  std::optional<Checkpoint<Record>> checkpoint(const Step<Record>& step) const {
    auto tensors = read_checkpoint(step.name);
    if (!tensors) return std::nullopt;
    try {
      return Checkpoint<Record>{std::move(*tensors),
                                record_of<Record>(state_.checkpoints.at(step.name).record)};
    } catch (const Error& error) {
      fail_state(step.name, error.what());
    }
  }
  template <typename Record>
  void save_checkpoint(const Step<Record>& step, const NamedTensors& tensors, const Record& record) {
    save_step(step.name, tensors, fields_of(record));
  }

  /// Takes back what an unfinished step had saved.
  template <typename Record>
  void drop_checkpoint(const Step<Record>& step) {
    drop_saved(step.name);
  }

  /// Appends a line {"event": Event::kEvent, …members} to log.jsonl (on disk with the next checkpoint or
  /// finished step).
  template <typename Event>
  void log(const Event& event) {
    log_line(Event::kEvent, fields_of(event));
  }
  /// The same of a step: one that is made anew, because a file of it is gone, has its lines already.
  template <typename Record, typename Event>
  void log(const Step<Record>& step, const Event& event) {
    if (!state_.steps.contains(step.name)) log(event);
  }
  bool is_shard() const { return shard_; }

 private:
  /// Holds the folder for this process, also while the constructor fails.
  struct Lock {
    int file = -1;
    Lock() = default;
    ~Lock();
    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;
  };

  bool open_config(const Config& config);
  void open_manifest();
  void remove_stray_checkpoints() const;
  /// A path as state.json has it: from the run folder on. Throws Error for one that leads out of it.
  std::string inside(const std::filesystem::path& file) const;
  bool is_done(const std::string& step) const;
  const Fields& finished_step(const std::string& step) const;
  void finish_step(const std::string& step, Fields record, const std::vector<std::filesystem::path>& files);
  void forget_step(const std::string& step);
  void forget_after(const std::string& step);
  void drop_saved(const std::string& step);
  std::optional<NamedTensors> read_checkpoint(const std::string& step) const;
  void save_step(const std::string& step, const NamedTensors& tensors, Fields record);
  void log_line(const char* event, const Fields& fields);
  void sync_state();
  [[noreturn]] void fail_state(const std::string& step, const std::string& why) const;

  RunFiles files_;
  bool shard_;
  bool pretrains_;  // the step "pretrain" learns, and does not only lay the weights there
  Lock lock_;
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
