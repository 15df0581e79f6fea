// Camelyon16 as it lies on people's disks. Facts: camelyon16.grand-challenge.org and the dataset's README.

#include <algorithm>
#include <map>

#include "tensor/check.h"
#include "tensor/io/csv.h"
#include "tensor/text.h"
#include "train/data/datasets/dataset.h"
#include "train/data/datasets/slide_names.h"

namespace mt::train {
namespace {

namespace fs = std::filesystem;

/// The slides of a folder; masks of the same format are counted only.
std::vector<fs::path> tiffs_in(const fs::path& folder, std::size_t& masks) {
  std::vector<fs::path> files;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    const std::string ending = lower_case(entry.path().extension().string());
    if (ending != ".tif" && ending != ".tiff") continue;
    if (plain_name(name).ends_with("_mask")) {
      ++masks;
    } else {
      files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

/// Annotations by the plain name of their slide.
std::map<std::string, fs::path> annotations_in(const fs::path& folder) {
  std::map<std::string, fs::path> files;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (lower_case(entry.path().extension().string()) == ".xml")
      files[lower_case(entry.path().stem().string())] = entry.path();
  }
  return files;
}

/// plain name → label from reference.csv: name (with or without .tif), Normal/Tumor, …; with or without a
/// header.
std::map<std::string, std::string> read_reference(const fs::path& file) {
  std::map<std::string, std::string> labels;
  for (const CsvRow& row : read_csv_rows(file.string())) {
    check(row.fields.size() >= 2, "{}, line {}: name and type are expected", file.string(), row.line);
    const bool is_label = known_label(row.fields[1]).has_value();
    if (!is_label && labels.empty()) continue;  // the header
    check(is_label, "{}, line {}: type \"{}\" is neither Normal nor Tumor", file.string(), row.line,
          printable(row.fields[1], 80));
    labels[plain_name(row.fields[0])] = row.fields[1];
  }
  return labels;
}

struct Layout {
  const char* normal;
  const char* tumour;
  const char* test;
  const char* annotations;
  const char* test_annotations;
  const char* reference;
};

constexpr Layout kLayouts[] = {
    {"training/normal", "training/tumor", "testing/images", "training/lesion_annotations",
     "testing/lesion_annotations", "testing/reference.csv"},
    {"images", "images", "images", "annotations", "annotations", "evaluation/reference.csv"},
};

void apply_known_facts(Dataset& dataset) {
  const auto has = [&](const char* id) {
    return std::any_of(dataset.slides.begin(), dataset.slides.end(),
                       [&](const auto& s) { return plain_name(s.id) == id; });
  };
  const bool has_111 = has("tumor_111");
  // The whole set is told from a phantom or an excerpt by its last numbers, so that the facts touch nobody
  // else's slides.
  if (!has("normal_160") || !has("test_130")) return;
  std::erase_if(dataset.slides, [&](SlideRecord& slide) {
    const std::string name = plain_name(slide.id);
    if (name == "test_049") {
      dataset.notes.push_back("test_049 is a duplicate of another slide and is left out");
      return true;
    }
    if (name == "normal_086") {
      dataset.notes.push_back(
          has_111 ? "normal_086 is left out: it holds tumour and is there again as tumor_111"
                  : "normal_086 holds tumour (it is tumor_111 today) and is taken as positive");
      slide.label_name = "tumor";
      return has_111;
    }
    if (name == "test_114") {
      slide.annotation_is_complete = false;
      dataset.notes.push_back(
          "test_114 is not annotated completely: kept for slides, left out of instance figures");
    }
    return false;
  });
}

}  // namespace

Dataset load_camelyon16(const fs::path& root) {
  check(fs::is_directory(root), "{}: this folder is not there; give the dataset's folder with --root",
        root.string());
  Dataset dataset;
  dataset.name = "camelyon16";
  for (const Layout& layout : kLayouts) {
    std::size_t masks = 0;
    std::vector<fs::path> files = tiffs_in(root / layout.test, masks);
    for (const char* folder : {layout.normal, layout.tumour}) {
      if (fs::path(folder) == fs::path(layout.test)) continue;
      const auto more = tiffs_in(root / folder, masks);
      files.insert(files.end(), more.begin(), more.end());
    }
    if (files.empty()) continue;
    const fs::path reference_file = root / layout.reference;
    std::map<std::string, std::string> reference;
    if (fs::exists(reference_file)) {
      reference = read_reference(reference_file);
      dataset.tables.emplace_back("data", reference_file);
    }
    const auto of_training = annotations_in(root / layout.annotations);
    const auto of_test = annotations_in(root / layout.test_annotations);
    for (const fs::path& file : files) {
      SlideRecord slide;
      slide.id = slide.case_id = file.stem().string();
      slide.path = file;
      slide.place = file.string();
      const std::string name = plain_name(slide.id);  // the first release wrote Tumor_001
      const bool is_test = name.starts_with("test_");
      slide.split = is_test ? Split::test : Split::train;
      if (name.starts_with("normal_")) slide.label_name = "normal";
      if (name.starts_with("tumor_")) slide.label_name = "tumor";
      if (is_test) {
        const auto found = reference.find(name);
        if (found != reference.end()) slide.label_name = found->second;
      }
      const auto& annotations = is_test ? of_test : of_training;
      if (const auto found = annotations.find(name); found != annotations.end())
        slide.annotation = found->second;
      dataset.slides.push_back(std::move(slide));
    }
    if (reference.empty()) {
      dataset.notes.push_back(
          fmt::format("{} is not there: test slides have no labels", reference_file.string()));
    }
    if (masks > 0)
      dataset.notes.push_back(
          fmt::format("{} (*_mask.tif) left out: masks are no slides", counted(masks, "file")));
    apply_known_facts(dataset);
    return dataset;
  }
  fail(
      "{}: no slides found; looked for *.tif in training/normal, training/tumor and testing/images (the "
      "official layout), and in "
      "images (the bucket's layout, with annotations/ and evaluation/reference.csv)",
      root.string());
}

}  // namespace mt::train
