#include "train/run/predictions.h"

#include <limits>

#include "tensor/check.h"
#include "tensor/io/csv.h"
#include "tensor/io/seal.h"
#include "tensor/text.h"
#include "train/cli/version.h"
#include "train/run/json_line.h"
#include "train/run/record_json.h"

namespace mt::train {
namespace {

using Json = nlohmann::json;

constexpr int kSchemaVersion = 1;

std::string json_of(const std::map<std::string, std::string>& files) {
  JsonObject object;
  for (const auto& [name, digits] : files) object.add(name, digits);
  return object.str();
}

template <typename Items, typename F>
std::string json_list(const Items& items, const F& json) {
  std::string text;
  for (const auto& item : items) text += (text.empty() ? "\n    " : ",\n    ") + json(item);
  return "[" + text + "]";
}

SlidePrediction prediction_from(const Json& json) {
  auto slide = record_of<SlidePrediction>(fields_from(json));
  json.at("notes").get_to(slide.notes);
  json.at("files").get_to(slide.files);
  return slide;
}

/// An empty field for what is not known.
std::string csv_number_field(double value) {
  return std::isfinite(value) ? fmt::format("{}", value) : "";
}

}  // namespace

std::string as_utf8(const std::string& text) {
  return is_utf8(text) ? text : printable(text, std::numeric_limits<std::size_t>::max());
}

std::string to_json(const SlidePrediction& slide) {
  JsonObject object;
  add_fields(object, fields_of(slide));
  std::string notes;
  for (const std::string& note : slide.notes) notes += (notes.empty() ? "" : ", ") + json_string(note);
  object.raw("notes", "[" + notes + "]");
  object.raw("files", json_of(slide.files));
  return object.str();
}

SlidePrediction prediction_from(const std::string& json) {
  return prediction_from(Json::parse(json));
}

std::string to_json(const Predictions& predictions) {
  const PredictionModel& model = predictions.model;
  JsonObject object;
  object.add("schema_version", kSchemaVersion)
      .add("checksum", blank_seal())
      .add("microtome", kVersion)
      .add("run", model.run)
      .add("variant", model.variant)
      .add("weights_sha256", model.weights_sha256)
      .raw("classes", fmt::format("[{}, {}]", json_string(model.classes[0]), json_string(model.classes[1])))
      .add("threshold", model.threshold)
      .raw("files", json_of(predictions.files))
      .raw("slides", json_list(predictions.slides, [](const auto& entry) { return to_json(entry.second); }))
      .raw("failed", json_list(predictions.failed, [](const auto& entry) {
             const FailedSlide& slide = entry.second;
             return JsonObject()
                 .add("slide_id", slide.slide_id)
                 .add("path", slide.path)
                 .add("reason", slide.reason)
                 .str();
           }));
  return sealed(object.str() + "\n");
}

Predictions predictions_from(const std::string& text) {
  const Json json = Json::parse(text);
  check(json.at("schema_version") == kSchemaVersion, "its schema_version is {}",
        json.at("schema_version").dump());
  Predictions predictions;
  PredictionModel& model = predictions.model;
  json.at("run").get_to(model.run);
  json.at("variant").get_to(model.variant);
  json.at("weights_sha256").get_to(model.weights_sha256);
  json.at("classes").get_to(model.classes);
  const Json& threshold = json.at("threshold");
  model.threshold = threshold.is_null() ? std::nan("") : threshold.get<double>();
  json.at("files").get_to(predictions.files);
  for (const Json& element : json.at("slides")) {
    SlidePrediction slide = prediction_from(element);
    predictions.slides[slide.slide_id] = std::move(slide);
  }
  for (const Json& element : json.at("failed")) {
    const FailedSlide slide{element.at("slide_id").get<std::string>(), element.at("path").get<std::string>(),
                            element.at("reason").get<std::string>()};
    predictions.failed[slide.slide_id] = slide;
  }
  return predictions;
}

std::string to_csv(const Predictions& predictions) {
  std::map<std::string, std::string> rows;
  for (const auto& [id, slide] : predictions.slides) {
    rows[id] = fmt::format("{},{},{},{},{},{},{},{},{},{},{},\n", csv_field(slide.slide_id),
                           csv_field(slide.path), csv_number_field(slide.score),
                           csv_number_field(slide.threshold), csv_field(slide.call), slide.positive ? 1 : 0,
                           slide.patches, csv_number_field(slide.mpp), csv_number_field(slide.level0_mpp),
                           csv_number_field(slide.highest_instance_score), slide.regions);
  }
  for (const auto& [id, slide] : predictions.failed) {
    rows[id] = fmt::format("{},{},,,,,,,,,,{}\n", csv_field(slide.slide_id), csv_field(slide.path),
                           csv_field(slide.reason));
  }
  std::string text =
      "slide_id,path,score,threshold,call,positive,patches,mpp,level0_mpp,highest_instance_score,regions,"
      "error\n";
  for (const auto& [id, row] : rows) text += row;
  return text;
}

}  // namespace mt::train
