// manifest.json: written by this program only, and sealed.

#include <nlohmann/json.hpp>

#include "tensor/check.h"
#include "tensor/io/atomic_file.h"
#include "tensor/io/input_file.h"
#include "tensor/io/seal.h"
#include "train/run/manifest.h"

namespace mt::train {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kRemedy =
    "delete it: the run then begins anew, from the tiles and features that are there";

Json json_of(const Fingerprint& file) {
  if (file.path.empty()) return nullptr;
  return {{"path", file.path}, {"bytes", file.bytes}, {"modified", file.modified}, {"sha256", file.sha256}};
}

Fingerprint fingerprint_from(const Json& json) {
  if (json.is_null()) return {};
  return {json.at("path").get<std::string>(), json.at("bytes").get<uint64_t>(),
          json.at("modified").get<int64_t>(), json.at("sha256").get<std::string>()};
}

Split split_from(const std::string& name) {
  for (const Split split : {Split::train, Split::validation, Split::test}) {
    if (name == name_of(split)) return split;
  }
  fail("there is no split \"{}\"", name);
}

SlideInputs slide_from(const Json& json) {
  SlideInputs slide;
  slide.id = json.at("id").get<std::string>();
  slide.case_id = json.at("case_id").get<std::string>();
  slide.label = json.at("label").get<int>();
  slide.split = split_from(json.at("split").get<std::string>());
  slide.annotation_is_complete = json.at("annotation_is_complete").get<bool>();
  slide.mpp = json.at("mpp").get<double>();
  slide.slide = fingerprint_from(json.at("slide"));
  slide.annotation = fingerprint_from(json.at("annotation"));
  slide.features = fingerprint_from(json.at("features"));
  slide.left_out = json.at("left_out").get<std::string>();
  slide.is_damaged = json.at("is_damaged").get<bool>();
  return slide;
}

}  // namespace

void write_manifest(const std::filesystem::path& file, const Manifest& manifest) {
  Json json;
  json["checksum"] = blank_seal();
  json["tables"] = Json::array();
  for (const SourceTable& table : manifest.tables)
    json["tables"].push_back({{"role", table.role}, {"file", json_of(table.file)}});
  json["weights"] = json_of(manifest.weights);
  json["split_is_drawn"] = manifest.split_is_drawn;
  json["slides"] = Json::array();
  for (const SlideInputs& slide : manifest.slides) {
    json["slides"].push_back({{"id", slide.id},
                              {"case_id", slide.case_id},
                              {"label", slide.label},
                              {"split", name_of(slide.split)},
                              {"annotation_is_complete", slide.annotation_is_complete},
                              {"mpp", slide.mpp},
                              {"slide", json_of(slide.slide)},
                              {"annotation", json_of(slide.annotation)},
                              {"features", json_of(slide.features)},
                              {"left_out", slide.left_out},
                              {"is_damaged", slide.is_damaged}});
  }
  // Paths may be any bytes; what is not UTF-8 in them is replaced, for they are never compared.
  write_file(file.string(), sealed(json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n"));
}

Manifest read_manifest(const std::filesystem::path& file) {
  const std::string text = read_file(file.string());
  check_seal(text, file.string(), kRemedy);
  Manifest manifest;
  try {
    const Json json = Json::parse(text);
    for (const Json& table : json.at("tables"))
      manifest.tables.push_back({table.at("role").get<std::string>(), fingerprint_from(table.at("file"))});
    manifest.weights = fingerprint_from(json.at("weights"));
    manifest.split_is_drawn = json.at("split_is_drawn").get<bool>();
    for (const Json& slide : json.at("slides")) manifest.slides.push_back(slide_from(slide));
  } catch (const std::exception& error) {
    fail("{}: is not what this version writes ({}); {}", file.string(), error.what(), kRemedy);
  }
  return manifest;
}

}  // namespace mt::train
