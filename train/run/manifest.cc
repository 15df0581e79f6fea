#include "train/run/manifest.h"

#include <algorithm>

#include "tensor/check.h"
#include "tensor/io/csv.h"
#include "tensor/io/sha256.h"
#include "tensor/parallel.h"
#include "train/data/feature_folder.h"

namespace mt::train {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMostNames = 5;  // of one kind in a message

/// "1 label (a)", "7 labels (a, b, c, d, e, …)"; nothing for nobody.
void add_count(const std::vector<std::string>& names, const char* one, const char* many, std::string& text) {
  if (names.empty()) return;
  std::string list;
  for (std::size_t i = 0; i < std::min(names.size(), kMostNames); ++i)
    list += (i == 0 ? "" : ", ") + names[i];
  if (names.size() > kMostNames) list += ", …";
  text += fmt::format("{}{} {} ({})", text.empty() ? "" : ", ", names.size(), names.size() == 1 ? one : many,
                      list);
}

/// Whether a file is another than before. One that cannot be read now is no change: the preflight says what
/// is wrong.
bool differs(const Fingerprint& before, const Fingerprint& now) {
  if (before.path.empty() != now.path.empty()) return true;
  return before.is_known() && now.is_known() && !before.has_content_of(now);
}

std::string name_of_file(const Fingerprint& file) {
  return fs::path(file.path).filename().string();
}

std::vector<std::string> changed_tables(const Manifest& before, const Manifest& now) {
  std::vector<std::string> names;
  for (const SourceTable& table : now.tables) {
    const auto same_role = [&](const SourceTable& other) { return other.role == table.role; };
    const auto found = std::find_if(before.tables.begin(), before.tables.end(), same_role);
    if (found == before.tables.end() || differs(found->file, table.file))
      names.push_back(name_of_file(table.file));
  }
  return names;
}

}  // namespace

const SlideInputs* Manifest::find(const std::string& id) const {
  const auto found =
      std::lower_bound(slides.begin(), slides.end(), id,
                       [](const SlideInputs& slide, const std::string& name) { return slide.id < name; });
  return found != slides.end() && found->id == id ? &*found : nullptr;
}

Manifest take_manifest(const Config& config, const Dataset& dataset) {
  Manifest manifest;
  for (const auto& [role, path] : dataset.tables)
    manifest.tables.push_back({role, fingerprint_of(path, HashedPart::whole)});
  manifest.weights = fingerprint_of(config.weights, HashedPart::whole);
  manifest.split_is_drawn = dataset.split_is_drawn;
  manifest.slides.resize(dataset.slides.size());
  std::optional<FeatureFolder> features;
  if (!config.features.empty()) features.emplace(config.features);
  parallel_for(static_cast<int64_t>(dataset.slides.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const SlideRecord& record = dataset.slides[static_cast<std::size_t>(i)];
      SlideInputs& inputs = manifest.slides[static_cast<std::size_t>(i)];
      inputs.id = record.id;
      inputs.label = record.label;
      inputs.split = record.split;
      inputs.case_id = record.case_id;
      inputs.annotation_is_complete = record.annotation_is_complete;
      inputs.mpp = record.mpp;
      if (!features) {
        inputs.slide = fingerprint_of(record.path, HashedPart::ends);
        inputs.annotation = fingerprint_of(record.annotation, HashedPart::whole);
        continue;
      }
      try {
        inputs.features = fingerprint_of(features->file_of(record.id), HashedPart::whole);
      } catch (const Error&) {  // the preflight says so
        inputs.features.path = config.features;
      }
    }
  });
  for (const auto& [id, why] : dataset.left_out) {
    SlideInputs inputs;
    inputs.id = id;
    inputs.left_out = why;
    manifest.slides.push_back(std::move(inputs));
  }
  std::sort(manifest.slides.begin(), manifest.slides.end(),
            [](const SlideInputs& a, const SlideInputs& b) { return a.id < b.id; });
  return manifest;
}

ManifestChanges changes_since(const Manifest& before, const Manifest& now) {
  ManifestChanges changes;
  for (const SlideInputs& slide : now.slides) {
    if (!slide.left_out.empty()) continue;
    const SlideInputs* old = before.find(slide.id);
    if (old == nullptr) {
      changes.added.push_back(slide.id);
      continue;
    }
    if (!old->left_out.empty()) continue;
    if (old->label != slide.label) changes.labels.push_back(slide.id);
    if (old->split != slide.split) changes.splits.push_back(slide.id);
    if (old->case_id != slide.case_id) changes.cases.push_back(slide.id);
    if (differs(old->slide, slide.slide) || old->mpp != slide.mpp) changes.slides.push_back(slide.id);
    if (differs(old->annotation, slide.annotation) ||
        old->annotation_is_complete != slide.annotation_is_complete)
      changes.annotations.push_back(slide.id);
    if (differs(old->features, slide.features)) changes.features.push_back(slide.id);
  }
  for (const SlideInputs& slide : before.slides) {
    if (slide.left_out.empty() && now.find(slide.id) == nullptr) changes.removed.push_back(slide.id);
  }
  if (differs(before.weights, now.weights))
    changes.weights.push_back(name_of_file(now.weights.path.empty() ? before.weights : now.weights));
  changes.tables = changed_tables(before, now);
  return changes;
}

bool ManifestChanges::empty() const {
  return labels.empty() && splits.empty() && cases.empty() && slides.empty() && annotations.empty() &&
         features.empty() && added.empty() && removed.empty() && weights.empty();
}

std::string ManifestChanges::str() const {
  const bool is_in_tables =
      !labels.empty() || !splits.empty() || !cases.empty() || !added.empty() || !removed.empty();
  std::string subject;
  for (const std::string& table : tables) subject += (subject.empty() ? "" : " and ") + table;
  const bool names_tables = is_in_tables && !tables.empty();
  std::string text;
  add_count(labels, "label", "labels", text);
  add_count(splits, "split", "splits", text);
  add_count(cases, "case", "cases", text);
  add_count(slides, "slide replaced", "slides replaced", text);
  add_count(annotations, "annotation", "annotations", text);
  add_count(features, "feature file", "feature files", text);
  add_count(added, "slide more", "slides more", text);
  add_count(removed, "slide less", "slides less", text);
  add_count(weights, "file of weights", "files of weights", text);
  return fmt::format("{} {} changed since this run began: {}",
                     names_tables ? subject : "what it is made from",
                     names_tables && tables.size() > 1 ? "have" : "has", text);
}

std::string split_csv(const Manifest& manifest) {
  std::string text = "slide_id,case_id,label,split\n";
  for (const SlideInputs& slide : manifest.slides) {
    if (!slide.left_out.empty()) continue;
    text += fmt::format("{},{},{},{}\n", csv_field(slide.id), csv_field(slide.case_id), slide.label,
                        name_of(slide.split));
  }
  return text;
}

std::map<std::string, Split> drawn_splits(const Manifest& manifest) {
  std::map<std::string, Split> splits;
  if (!manifest.split_is_drawn) return splits;
  for (const SlideInputs& slide : manifest.slides) {
    if (!slide.case_id.empty())
      splits[slide.case_id] = slide.split;  // some were left out before they had one
  }
  return splits;
}

std::string tiles_key(const SlideInputs& inputs, const Config& config) {
  return sha256(fmt::format("tiles 2|{}:{}|{}|{}|{}:{}|{}|{}|{}|{}|{}|{}|{}", inputs.slide.bytes,
                            inputs.slide.sha256, inputs.mpp, inputs.label, inputs.annotation.bytes,
                            inputs.annotation.sha256, inputs.annotation_is_complete, config.mpp,
                            config.mpp_override, config.patch, config.overlap, config.min_tissue,
                            config.tumour_groups));
}

}  // namespace mt::train
