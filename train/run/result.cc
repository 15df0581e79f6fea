#include "train/run/result.h"

#include <fmt/format.h>

#include "tensor/io/csv.h"
#include "tensor/io/input_file.h"
#include "tensor/io/seal.h"
#include "train/cli/progress.h"
#include "train/cli/version.h"
#include "train/run/json_line.h"
#include "train/run/record_json.h"
#include "train/settings/config_options.h"

namespace mt::train {
namespace {

template <typename Items, typename F>
std::string json_array(const Items& items, const F& f) {
  std::string text;
  for (const auto& item : items) text += (text.empty() ? "" : ",\n    ") + f(item);
  return "[" + text + "]";
}

std::string json_of(const Metric& metric) {
  JsonObject object;
  object.add("name", metric.name);
  object.raw("value", metric.value ? json_number(*metric.value) : "null");
  if (metric.interval) {
    object.raw("interval_95", fmt::format("[{}, {}]", json_number(metric.interval->low),
                                          json_number(metric.interval->high)));
    object.add("interval_method", metric.interval->method);
  }
  if (!metric.note.empty()) object.add("note", metric.note);
  return object.str();
}

std::string json_of(const RoundResult& round) {
  JsonObject object;
  const FinetuneRecord finetune = round.finetune.value_or(FinetuneRecord());
  object.add("round", round.round)
      .add("validation_auc", round.validation_auc())
      .add("validation_loss", round.validation_loss())
      .add("accepted", round.accepted)
      .add("collapsed", finetune.collapsed)
      .add("finetune_epochs", finetune.epochs)
      .add("updates", finetune.updates)
      .add("images", finetune.images)
      .add("finetune_seconds", finetune.seconds)
      .add("positives", round.positives)
      .add("hard_negatives", round.hard_negatives);
  object.raw("positive_precision",
             round.positive_precision ? json_number(*round.positive_precision) : "null");
  object.raw("negative_enrichment", json_array(round.negative_enrichment, [](const Enrichment& e) {
               return JsonObject()
                   .add("name", e.name)
                   .add("share_mined", e.share_mined)
                   .add("share_all", e.share_all)
                   .str();
             }));
  return object.str();
}

std::string json_of(const VariantResult& variant, const std::array<std::string, 2>& classes) {
  JsonObject object;
  add_fields(object, fields_of<Selection>(variant));
  const auto metric = [](const Metric& m) { return json_of(m); };
  object.raw("metrics", json_array(variant.metrics, metric));
  object.raw("test_optimal_for_comparison_only", json_array(variant.test_optimal, metric));
  object.raw("rounds", json_array(variant.rounds, [](const RoundResult& r) { return json_of(r); }));
  object.raw("test_slides", json_array(variant.test_slides, [&](const SlideScore& s) {
               return JsonObject()
                   .add("slide_id", s.id)
                   .add("label", s.label)
                   .add("label_name", classes[static_cast<std::size_t>(s.label)])
                   .add("score", s.score)
                   .str();
             }));
  return object.str();
}

std::string json_of(const Config& config) {
  JsonObject object;
  visit_options(config, [&](const OptionText& text, const auto& value) {
    using T = std::remove_cvref_t<decltype(value)>;
    if constexpr (std::is_same_v<T, uint64_t>) {
      object.raw(text.name, std::to_string(value));
    } else if constexpr (IsChoice<T>) {
      object.add(text.name, choice_name(value));
    } else {
      object.add(text.name, value);
    }
  });
  return object.str();
}

std::string versions_json() {
  JsonObject object;
  for (const auto& [name, version] : versions_built_with()) object.add(name.c_str(), version);
  return object.str();
}

/// "0.912 [0.83, 0.97]"
std::string cell(const std::vector<Metric>& metrics, const char* name) {
  for (const Metric& metric : metrics) {
    if (metric.name != name) continue;
    if (!metric.value) return "not measured";
    if (!metric.interval) return fmt::format("{:.3f}", *metric.value);
    return fmt::format("{:.3f} [{:.2f}, {:.2f}]", *metric.value, metric.interval->low, metric.interval->high);
  }
  return "not measured";
}

std::string cost_cell(const VariantResult& variant) {
  int64_t epochs = 0;
  int64_t images = 0;
  double seconds = 0;
  for (const RoundResult& round : variant.rounds) {
    if (!round.finetune) continue;
    epochs += round.finetune->epochs;
    images += round.finetune->images;
    seconds += round.finetune->seconds;
  }
  if (epochs == 0) return "–";
  return fmt::format("{} img, {:.1f} s", images / epochs, seconds / static_cast<double>(epochs));
}

}  // namespace

std::string to_json(const RunResult& result) {
  JsonObject made;
  add_fields(made, fields_of<RunFacts>(result.facts));
  JsonObject object;
  object.add("schema_version", 1)
      .add("checksum", blank_seal())
      .add("microtome", kVersion)
      .raw("versions", versions_json())
      .add("device", result.device)
      .add("instruction_set", result.instruction_set)
      .add("threads", result.threads)
      .raw("made", made.str())
      .raw("config", json_of(result.config))
      .raw("classes", json_array(result.classes, [](const std::string& name) { return json_string(name); }))
      .add("slides_train", result.slides_train)
      .add("slides_validation", result.slides_validation)
      .add("slides_test", result.slides_test)
      .add("slides_left_out", result.slides_left_out);
  if (result.variants.size() == 1) object.add("weights_sha256", result.variants[0].weights_sha256);
  object.raw("notes", json_array(result.notes, [](const std::string& note) { return json_string(note); }));
  object.raw("stages", json_array(result.stages, [](const StageTime& stage) {
               return JsonObject()
                   .add("name", stage.name)
                   .add("seconds", stage.seconds)
                   .add("updates", stage.updates)
                   .add("images", stage.images)
                   .str();
             }));
  object.raw("variants", json_array(result.variants, [&](const VariantResult& variant) {
               return json_of(variant, result.classes);
             }));
  return sealed(object.str() + "\n");
}

ResultSummary read_result(const std::filesystem::path& result_json) {
  const std::string text = read_file(result_json.string());
  check_seal(text, result_json.string(), "delete it, and the same train command makes it anew");
  try {
    ResultSummary summary;
    const auto result = nlohmann::json::parse(text);
    result.at("classes").get_to(summary.classes);
    for (const auto& variant : result.at("variants"))
      summary.variants.push_back(record_of<Selection>(fields_from(variant)));
    return summary;
  } catch (const std::exception& error) {
    fail("{}: is not what this version writes ({}); run train again", result_json.string(), error.what());
  }
}

std::string predictions_csv(const RunResult& result) {
  std::string csv = "variant,slide_id,label,score,threshold,call\n";
  for (const VariantResult& variant : result.variants) {
    for (const SlideScore& slide : variant.test_slides) {
      const std::size_t call = slide.score >= variant.threshold ? 1 : 0;
      csv += fmt::format("{},{},{},{},{},{}\n", variant.name, csv_field(slide.id),
                         csv_field(result.classes[static_cast<std::size_t>(slide.label)]), slide.score,
                         variant.threshold, csv_field(result.classes[call]));
    }
  }
  return csv;
}

std::string summary_table(const RunResult& result) {
  std::string text = fmt::format(
      "\nTest slides: {}; epoch, round and threshold chosen on {} validation slides. [95 % interval]\n\n",
      result.slides_test, result.slides_validation);
  text += fmt::format("{:<18} {:<21} {:<21} {:<21} {:<21} {}\n", "variant", "slide AUC", "accuracy",
                      "instance AUC", "instance AP", "fine-tuning epoch");
  for (const VariantResult& variant : result.variants) {
    text += fmt::format("{:<18} {:<21} {:<21} {:<21} {:<21} {}\n", variant.name,
                        cell(variant.metrics, "slide_auc"), cell(variant.metrics, "accuracy"),
                        cell(variant.metrics, "instance_auc"),
                        cell(variant.metrics, "instance_average_precision"), cost_cell(variant));
  }
  double seconds = 0;
  for (const StageTime& stage : result.stages) seconds += stage.seconds;
  text += fmt::format("\n{} in all stages", duration_text(seconds));
  if (result.slides_left_out > 0)
    text += fmt::format("; {} slide{} left out", result.slides_left_out,
                        result.slides_left_out == 1 ? " was" : "s were");
  return text + "\n";
}

}  // namespace mt::train
