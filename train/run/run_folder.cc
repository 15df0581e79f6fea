#include "train/run/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>

#include "tensor/check.h"
#include "tensor/io/atomic_file.h"
#include "tensor/io/input_file.h"
#include "tensor/io/safetensors.h"
#include "tensor/io/seal.h"
#include "tensor/text.h"
#include "train/cli/options.h"
#include "train/run/json_line.h"
#include "train/run/training_log.h"

namespace mt::train {
namespace {

namespace fs = std::filesystem;

/// Makes the folder and those above it, so that they last.
void make_folder(const fs::path& folder) {
  if (folder.empty() || fs::is_directory(folder)) return;
  make_folder(folder.parent_path());
  std::error_code error;
  fs::create_directory(folder, error);
  check(!error, "{}: cannot make this folder: {}", folder.string(), error.message());
  sync_folder(folder.parent_path().empty() ? "." : folder.parent_path().string());
}

/// Removes the temporary files (`.NAME.tmp-PROCESS-NUMBER`, see AtomicFile) that killed processes have left.
/// Younger ones may be a shard's at work on another machine; no file takes a quarter of an hour to write.
void remove_abandoned_files(const fs::path& folder) {
  constexpr std::chrono::minutes kAbandonedAfter(15);
  const auto is_temporary = [](const std::string& name) {
    const std::size_t mark = name.rfind(".tmp-");
    return name.starts_with('.') && mark != std::string::npos &&
           name.find_first_not_of("0123456789-", mark + 5) == std::string::npos;
  };
  std::error_code error;
  const auto now = fs::file_time_type::clock::now();
  for (auto entry = fs::recursive_directory_iterator(folder, error);
       entry != fs::recursive_directory_iterator(); entry.increment(error)) {
    if (!is_temporary(entry->path().filename().string())) continue;
    const auto written = entry->last_write_time(error);
    if (!error && now - written > kAbandonedAfter) fs::remove(entry->path(), error);
  }
}

/// Takes the folder for this process until the descriptor is closed. Where the file system has no locks there
/// is only a note.
int lock_folder(const RunFiles& files) {
  const fs::path& folder = files.folder();
  const int lock = ::open(files.lock().c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  check(lock >= 0, "{}: cannot be written: {}", folder.string(), std::strerror(errno));
  if (::flock(lock, LOCK_EX | LOCK_NB) == 0) return lock;
  const int code = errno;
  if (code == EWOULDBLOCK) {
    ::close(lock);
    fail("{}: another process is working in this run folder; wait for it, or end it", folder.string());
  }
  std::printf(
      "note: %s: this file system has no locks (%s); see to it that one process at a time works here\n",
      folder.c_str(), std::strerror(code));
  return lock;
}

/// A folder of a version that kept no checksums has neither here.
void refuse_older_version(const RunFiles& files) {
  for (const fs::path& file : {files.config(), files.state()}) {
    if (!fs::exists(file)) return;
    const std::string text = read_file(file.string());
    if (text.empty() || text.find(kSealMark.substr(0, 10)) != std::string::npos) return;
  }
  fail(
      "{}: is the run folder of an older version, which kept no checksums; finish it with that version, or "
      "take "
      "another --run",
      files.folder().string());
}

std::string config_text(const Config& config) {
  return sealed("# " + blank_seal() + "\n" + to_toml(config));
}

}  // namespace

void write_sealed_tensors(const fs::path& file, const NamedTensors& tensors,
                          std::map<std::string, std::string> metadata) {
  metadata["checksum"] = blank_seal();
  write_safetensors(file.string(), tensors, metadata);
}

Config read_run_config(const fs::path& folder) {
  const fs::path file = RunFiles(folder).config();
  check(fs::exists(file), "{}: is no run folder (config.toml is missing)", folder.string());
  refuse_older_version(RunFiles(folder));
  check_seal(file.string(), kRunFileRemedy);
  return read_config_file(file.string());
}

RunFolder::RunFolder(fs::path folder, const Config& config)
    : files_(std::move(folder)),
      shard_(!config.shard.empty()),
      pretrains_(config.pretrain == Pretraining::simclr) {
  make_folder(files_.folder());
  if (!shard_) {
    lock_.file = lock_folder(files_);
    remove_abandoned_files(files_.folder());
  }
  refuse_older_version(files_);
  if (fs::exists(files_.state())) state_ = read_state(files_.state());
  if (!shard_) log_ = std::make_unique<RunLog>(files_.log(), state_.log);
  const bool other_device = open_config(config);
  open_manifest();
  if (shard_) return;
  remove_stray_checkpoints();
  if (other_device) sync_state();
}

RunFolder::Lock::~Lock() {
  if (file >= 0) ::close(file);
}

/// The settings of the folder must be those of now; a new folder gets them. Whether the device is another
/// than before.
bool RunFolder::open_config(const Config& config) {
  const fs::path file = files_.config();
  Device left_device = config.device;
  if (fs::exists(file)) {
    const Config before = read_run_config(files_.folder());
    std::string list;
    for (const auto& difference : identity_differences(before, config))
      list += (list.empty() ? "" : "; ") + difference;
    check(
        list.empty(),
        "{}: this run folder belongs to another configuration ({}); take another --run, or the same settings",
        files_.folder().string(), list);
    left_device = before.device;
  } else {
    check(state_.settings_sha256.empty() || state_.settings_sha256 == settings_sha256(config),
          "{}: config.toml is gone, and the run was begun with other settings than these; give those, or "
          "take another "
          "--run",
          files_.folder().string());
  }
  if (!fs::exists(file) || left_device != config.device) write_file(file.string(), config_text(config));
  state_.settings_sha256 = settings_sha256(config);
  if (left_device == config.device || shard_) return false;
  state_.devices_before.insert(name_of(left_device));
  log(DeviceSwitch{name_of(left_device), name_of(config.device)});
  return true;
}

/// Checkpoints that no step knows: their process was killed, or their step was taken for not done.
void RunFolder::remove_stray_checkpoints() const {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(files_.checkpoints(), error)) {
    const bool is_known = std::any_of(
        state_.checkpoints.begin(), state_.checkpoints.end(),
        [&](const auto& known) { return files_.checkpoint(known.second.number) == entry.path(); });
    if (!is_known && entry.path().extension() == ".safetensors") fs::remove(entry.path(), error);
  }
}

/// What the run was made from. Finished steps of which nobody knows that any more are not done.
void RunFolder::open_manifest() {
  const fs::path file = files_.manifest();
  if (fs::exists(file)) manifest_ = read_manifest(file);
  const bool is_known = manifest_ && read_seal(file.string()) == state_.manifest_sha256;
  if (is_known || !has_trained()) return;
  std::printf(
      "note: %s: is gone, or not this run's: nothing says what the finished steps were made from, so they "
      "are made anew\n",
      file.c_str());
  state_.steps.clear();
  state_.order.clear();
  state_.files.clear();
  state_.checkpoints.clear();
  manifest_.reset();
}

std::string RunFolder::inside(const fs::path& file) const {
  const fs::path relative = file.lexically_normal().lexically_relative(files_.folder().lexically_normal());
  check(!relative.empty() && relative != "." && *relative.begin() != "..",
        "{}: \"{}\" is no path inside of this run folder", files_.folder().string(),
        printable(file.string()));
  return relative.string();
}

fs::path RunFolder::to_write(fs::path file) const {
  make_folder((files_.folder() / inside(file)).parent_path());
  return file;
}

fs::path RunFolder::checked(fs::path file) const {
  const std::string digits = check_seal(file.string(), kRunFileRemedy);
  const auto found = state_.files.find(inside(file));
  check(found == state_.files.end() || found->second.sha256 == digits,
        "{}: is not the file that this run wrote; {}", file.string(), kRunFileRemedy);
  return file;
}

void RunFolder::record_inputs(Manifest manifest) {
  const fs::path file = files_.manifest();
  write_manifest(file, manifest);
  manifest_ = std::move(manifest);
  write_split();
  state_.manifest_sha256 = read_seal(file.string());
  sync_state();
}

void RunFolder::write_split() const {
  write_file(files_.split().string(), split_csv(*manifest_));
}

bool RunFolder::has_trained() const {
  const auto learns = [this](const auto& entry) {
    return (pretrains_ && entry.first == "pretrain") || entry.first.starts_with("mil ") ||
           entry.first.starts_with("finetune ");
  };
  return std::any_of(state_.steps.begin(), state_.steps.end(), learns) ||
         std::any_of(state_.checkpoints.begin(), state_.checkpoints.end(), learns);
}

bool RunFolder::is_done(const std::string& step) const {
  if (!state_.steps.contains(step)) return false;
  return std::all_of(state_.files.begin(), state_.files.end(), [&](const auto& entry) {
    return entry.second.step != step || fs::exists(files_.folder() / entry.first);
  });
}

const Fields& RunFolder::finished_step(const std::string& step) const {
  const auto found = state_.steps.find(step);
  check(found != state_.steps.end(), "run folder {}: step {} is not finished", files_.folder().string(),
        step);
  return found->second;
}

std::vector<std::pair<std::string, StepCost>> RunFolder::costs() const {
  std::vector<std::pair<std::string, StepCost>> costs;
  for (const auto& [name, record] : state_.steps) costs.emplace_back(name, record_of<StepCost>(record));
  return costs;
}

void RunFolder::forget_step(const std::string& step) {
  state_.steps.erase(step);
  std::erase(state_.order, step);
  std::erase_if(state_.files, [&](const auto& entry) { return entry.second.step == step; });
}

/// Steps that were finished after this one may have been made from what it wrote.
void RunFolder::forget_after(const std::string& step) {
  const auto found = std::find(state_.order.begin(), state_.order.end(), step);
  if (found == state_.order.end()) return;
  const std::vector<std::string> later(found + 1, state_.order.end());
  if (later.empty()) return;
  std::printf(
      "note: %s came out different when it was made anew, so the steps after it are made anew as well\n",
      step.c_str());
  for (const std::string& name : later) forget_step(name);
  state_.checkpoints.clear();
}

void RunFolder::finish_step(const std::string& step, Fields record, const std::vector<fs::path>& files) {
  std::map<std::string, RunState::Written> written;
  bool is_other = false;
  for (const fs::path& file : files) {
    const std::string relative = inside(file);
    written[relative] = {step, read_seal(file.string())};
    const auto before = state_.files.find(relative);
    is_other |= before != state_.files.end() && before->second.sha256 != written[relative].sha256;
  }
  if (is_other) forget_after(step);
  for (auto& [relative, entry] : written) state_.files[relative] = entry;
  state_.steps[step] = std::move(record);
  if (std::find(state_.order.begin(), state_.order.end(), step) == state_.order.end())
    state_.order.push_back(step);
  int64_t old = 0;
  if (const auto found = state_.checkpoints.find(step); found != state_.checkpoints.end()) {
    old = found->second.number;
    state_.checkpoints.erase(found);
  }
  sync_state();
  std::error_code ignored;
  if (old != 0) fs::remove(files_.checkpoint(old), ignored);
}

void RunFolder::drop_saved(const std::string& step) {
  const auto found = state_.checkpoints.find(step);
  if (found == state_.checkpoints.end()) return;
  const int64_t number = found->second.number;
  state_.checkpoints.erase(found);
  sync_state();
  std::error_code ignored;
  fs::remove(files_.checkpoint(number), ignored);
}

std::optional<NamedTensors> RunFolder::read_checkpoint(const std::string& step) const {
  const auto found = state_.checkpoints.find(step);
  if (found == state_.checkpoints.end()) return std::nullopt;
  const fs::path path = files_.checkpoint(found->second.number);
  if (!fs::exists(path)) {
    std::printf("note: %s: is gone; step %s begins anew\n", path.c_str(), step.c_str());
    return std::nullopt;
  }
  check_seal(path.string(), "delete it: its step then begins anew, and ends the same");
  return SafetensorsFile(path.string()).read_all();
}

void RunFolder::save_step(const std::string& step, const NamedTensors& tensors, Fields record) {
  const int64_t number = ++state_.checkpoint_number;
  write_sealed_tensors(to_write(files_.checkpoint(number)), tensors);
  const int64_t old = state_.checkpoints[step].number;
  state_.checkpoints[step] = {number, std::move(record)};
  sync_state();
  std::error_code ignored;
  if (old != 0) fs::remove(files_.checkpoint(old), ignored);
}

void RunFolder::log_line(const char* event, const Fields& fields) {
  if (!log_) return;
  JsonObject line;
  line.add("event", event);
  add_fields(line, fields);
  log_->add(line.str());
}

void RunFolder::fail_state(const std::string& step, const std::string& why) const {
  fail("{}: step {}: {}; {}", files_.state().string(), step, why, kStateRemedy);
}

/// First the log, then what counts its lines.
void RunFolder::sync_state() {
  if (log_) {
    log_->sync();
    state_.log = log_->known();
  }
  write_state(files_.state(), state_);
}

}  // namespace mt::train
