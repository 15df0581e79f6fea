#include "train/run/run_state.h"

#include <nlohmann/json.hpp>

#include "tensor/check.h"
#include "tensor/io/atomic_file.h"
#include "tensor/io/input_file.h"
#include "tensor/io/seal.h"
#include "train/run/record_json.h"

namespace mt::train {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kFormat = 3;

RunState state_from(const Json& json) {
  check(json.at("format").get<int>() == kFormat, "of format {}", json.at("format").get<int>());
  RunState state;
  state.settings_sha256 = json.at("settings_sha256").get<std::string>();
  state.manifest_sha256 = json.at("manifest_sha256").get<std::string>();
  state.log = {json.at("log_bytes").get<uint64_t>(), json.at("log_sha256").get<std::string>()};
  state.checkpoint_number = json.at("checkpoint_number").get<int64_t>();
  state.devices_before = json.at("devices_before").get<std::set<std::string>>();
  state.order = json.at("order").get<std::vector<std::string>>();
  for (const auto& [name, record] : json.at("steps").items()) state.steps[name] = fields_from(record);
  for (const auto& [path, file] : json.at("files").items())
    state.files[path] = {file.at("step").get<std::string>(), file.at("sha256").get<std::string>()};
  for (const auto& [name, entry] : json.at("checkpoints").items())
    state.checkpoints[name] = {entry.at("number").get<int64_t>(), fields_from(entry.at("record"))};
  return state;
}

}  // namespace

RunState read_state(const std::filesystem::path& file) {
  const std::string text = read_file(file.string());
  check_seal(text, file.string(), kStateRemedy);
  try {
    return state_from(Json::parse(text));
  } catch (const std::exception& error) {
    fail("{}: is not what this version writes ({}); {}", file.string(), error.what(), kStateRemedy);
  }
}

void write_state(const std::filesystem::path& file, const RunState& state) {
  Json json;
  json["checksum"] = blank_seal();
  json["format"] = kFormat;
  json["settings_sha256"] = state.settings_sha256;
  json["manifest_sha256"] = state.manifest_sha256;
  json["log_bytes"] = state.log.bytes;
  json["log_sha256"] = state.log.sha256;
  json["checkpoint_number"] = state.checkpoint_number;
  json["devices_before"] = state.devices_before;
  json["order"] = state.order;
  Json& steps = json["steps"] = Json::object();
  for (const auto& [name, record] : state.steps) steps[name] = to_json(record);
  Json& files = json["files"] = Json::object();
  for (const auto& [path, written] : state.files)
    files[path] = {{"step", written.step}, {"sha256", written.sha256}};
  Json& checkpoints = json["checkpoints"] = Json::object();
  for (const auto& [name, entry] : state.checkpoints)
    checkpoints[name] = {{"number", entry.number}, {"record", to_json(entry.record)}};
  write_file(file.string(), sealed(json.dump(1) + "\n"));
}

}  // namespace mt::train
