#include "train/run/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tensor/check.h"
#include "tensor/io/atomic_file.h"
#include "tensor/io/safetensors.h"
#include "train/cli/options.h"

namespace mt::train {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

std::string read_text(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void make_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  check(!error, "{}: cannot make this folder: {}", folder.string(), error.message());
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

}  // namespace

void check_same_configuration(const fs::path& config_file, const Config& now) {
  const auto differences = identity_differences(read_config_file(config_file.string()), now);
  if (differences.empty()) return;
  std::string list;
  for (const auto& difference : differences) list += (list.empty() ? "" : "; ") + difference;
  fail("{}: this run folder belongs to another configuration ({}); take another --run, or the same settings",
       config_file.parent_path().string(), list);
}

RunFolder::RunFolder(fs::path folder, const Config& config)
    : folder_(std::move(folder)), shard_(!config.shard.empty()) {
  make_folder(folder_);
  const fs::path config_file = folder_ / "config.toml";
  if (fs::exists(config_file)) check_same_configuration(config_file, config);
  if (!shard_) {
    lock_ = ::open((folder_ / ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    check(lock_ >= 0, "{}: cannot be written: {}", folder_.string(), std::strerror(errno));
    check(::flock(lock_, LOCK_EX | LOCK_NB) == 0,
          "{}: another process is working in this run folder; wait for it, or end it", folder_.string());
  }
  if (!shard_) remove_abandoned_files(folder_);
  std::string left_device;
  if (fs::exists(config_file)) left_device = read_config_file(config_file.string()).device;
  if (left_device != config.device) write_file(config_file.string(), to_toml(config));
  read_state();
  if (shard_) return;
  log_ = ::open((folder_ / "log.jsonl").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  check(log_ >= 0, "{}/log.jsonl: cannot be opened: {}", folder_.string(), std::strerror(errno));
  check(::ftruncate(log_, static_cast<off_t>(log_bytes_)) == 0 && ::lseek(log_, 0, SEEK_END) >= 0,
        "{}/log.jsonl: cannot be cut back: {}", folder_.string(), std::strerror(errno));
  if (!left_device.empty() && left_device != config.device) {
    log("device", JsonObject().add("from", left_device).add("to", config.device));
    devices_before_.insert(left_device);
    sync_log();
    write_state();
  }
}

RunFolder::~RunFolder() {
  if (log_ >= 0) ::close(log_);
  if (lock_ >= 0) ::close(lock_);
}

fs::path RunFolder::file(const std::string& relative) const {
  const fs::path path = folder_ / relative;
  make_folder(path.parent_path());
  return path;
}

const StepRecord& RunFolder::record(const std::string& step) const {
  const auto found = steps_.find(step);
  check(found != steps_.end(), "run folder {}: step {} is not finished", folder_.string(), step);
  return found->second;
}

void RunFolder::finish(const std::string& step, StepRecord record) {
  sync_log();
  steps_[step] = std::move(record);
  std::string old;
  if (const auto found = checkpoints_.find(step); found != checkpoints_.end()) {
    old = found->second.file;
    checkpoints_.erase(found);
  }
  write_state();
  std::error_code ignored;
  if (!old.empty()) fs::remove(folder_ / old, ignored);
}

std::optional<RunFolder::Checkpoint> RunFolder::checkpoint(const std::string& step) const {
  const auto found = checkpoints_.find(step);
  if (found == checkpoints_.end()) return std::nullopt;
  return Checkpoint{SafetensorsFile((folder_ / found->second.file).string()).read_all(), found->second.values,
                    found->second.seconds};
}

void RunFolder::save_checkpoint(const std::string& step, const NamedTensors& tensors,
                                const std::map<std::string, std::string>& values, double seconds) {
  const std::string name = fmt::format("checkpoints/{}.safetensors", ++checkpoint_number_);
  write_safetensors(file(name).string(), tensors);
  sync_log();
  const std::string old = checkpoints_[step].file;
  checkpoints_[step] = {name, seconds, values};
  write_state();
  std::error_code ignored;
  if (!old.empty()) fs::remove(folder_ / old, ignored);
}

void RunFolder::log(const std::string& event, JsonObject members) {
  if (shard_) return;
  JsonObject line;
  line.add("event", event);
  std::string rest = members.str();  // "{…}"
  std::string text = line.str();
  text.pop_back();
  log_buffer_ += text + (rest.size() > 2 ? ", " + rest.substr(1) : "}") + "\n";
}

void RunFolder::sync_log() {
  if (log_ < 0 || log_buffer_.empty()) return;
  std::size_t written = 0;
  while (written < log_buffer_.size()) {
    const ssize_t count = ::write(log_, log_buffer_.data() + written, log_buffer_.size() - written);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail_write((folder_ / "log.jsonl").string(), log_bytes_ + written, errno);
    written += static_cast<std::size_t>(count);
  }
  ::fdatasync(log_);
  log_bytes_ += written;
  log_buffer_.clear();
}

void RunFolder::read_state() {
  const fs::path path = folder_ / "state.json";
  if (!fs::exists(path)) return;
  try {
    const Json state = Json::parse(read_text(path));
    log_bytes_ = state.at("log_bytes").get<uint64_t>();
    checkpoint_number_ = state.at("checkpoint_number").get<int64_t>();
    devices_before_ = state.value("devices_before", std::set<std::string>());
    for (const auto& [name, step] : state.at("steps").items()) {
      StepRecord record;
      record.seconds = step.at("seconds").get<double>();
      record.numbers = step.at("numbers").get<std::map<std::string, double>>();
      record.texts = step.at("texts").get<std::map<std::string, std::string>>();
      steps_[name] = std::move(record);
    }
    for (const auto& [name, entry] : state.at("checkpoints").items()) {
      checkpoints_[name] = {entry.at("file").get<std::string>(), entry.at("seconds").get<double>(),
                            entry.at("values").get<std::map<std::string, std::string>>()};
    }
  } catch (const Json::exception& error) {
    fail("{}: is damaged ({}); take another --run, or delete the folder", path.string(), error.what());
  }
}

void RunFolder::write_state() {
  Json state;
  state["log_bytes"] = log_bytes_;
  state["checkpoint_number"] = checkpoint_number_;
  if (!devices_before_.empty()) state["devices_before"] = devices_before_;
  Json& steps = state["steps"] = Json::object();
  for (const auto& [name, record] : steps_) {
    steps[name] = {{"seconds", record.seconds}, {"numbers", record.numbers}, {"texts", record.texts}};
  }
  Json& checkpoints = state["checkpoints"] = Json::object();
  for (const auto& [name, entry] : checkpoints_) {
    checkpoints[name] = {{"file", entry.file}, {"seconds", entry.seconds}, {"values", entry.values}};
  }
  write_file((folder_ / "state.json").string(), state.dump(1) + "\n");
}

}  // namespace mt::train
