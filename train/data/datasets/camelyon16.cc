// Camelyon16 as it lies on people's disks. Facts: camelyon16.grand-challenge.org and the dataset's README.

#include <algorithm>
#include <map>

#include "tensor/check.h"
#include "tensor/io/csv.h"
#include "train/data/datasets/dataset.h"

namespace mt::train {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> tiffs_in(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string ending = entry.path().extension().string();
    if (ending == ".tif" || ending == ".tiff") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

/// name → label from reference.csv: name (with or without .tif), Normal/Tumor, …; with or without a header.
std::map<std::string, int> read_reference(const fs::path& file) {
  std::map<std::string, int> labels;
  for (const CsvRow& row : read_csv_rows(file.string())) {
    check(row.fields.size() >= 2, "{}, line {}: name and type are expected", file.string(), row.line);
    std::string name = row.fields[0];
    if (name.ends_with(".tif")) name.resize(name.size() - 4);
    const int label = parse_label(row.fields[1]);
    if (label < 0 && labels.empty()) continue;  // the header
    check(label >= 0, "{}, line {}: type \"{}\" is neither Normal nor Tumor", file.string(), row.line,
          row.fields[1]);
    labels[name] = label;
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
                       [&](const auto& s) { return s.id == id; });
  };
  const bool has_111 = has("tumor_111");
  // The whole set is told from a phantom or an excerpt by its last numbers, so that the facts touch nobody
  // else's slides.
  if (!has("normal_160") || !has("test_130")) return;
  std::erase_if(dataset.slides, [&](SlideRecord& slide) {
    if (slide.id == "test_049") {
      dataset.notes.push_back("test_049 is a duplicate of another slide and is left out");
      return true;
    }
    if (slide.id == "normal_086") {
      dataset.notes.push_back(
          has_111 ? "normal_086 is left out: it holds tumour and is there again as tumor_111"
                  : "normal_086 holds tumour (it is tumor_111 today) and is taken as positive");
      slide.label = 1;
      return has_111;
    }
    if (slide.id == "test_114") {
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
    std::vector<fs::path> files = tiffs_in(root / layout.test);
    for (const char* folder : {layout.normal, layout.tumour}) {
      if (fs::path(folder) == fs::path(layout.test)) continue;
      const auto more = tiffs_in(root / folder);
      files.insert(files.end(), more.begin(), more.end());
    }
    if (files.empty()) continue;
    const fs::path reference_file = root / layout.reference;
    std::map<std::string, int> reference;
    if (fs::exists(reference_file)) {
      reference = read_reference(reference_file);
      dataset.tables.emplace_back("data", reference_file);
    }
    for (const fs::path& file : files) {
      SlideRecord slide;
      slide.id = slide.case_id = file.stem().string();
      slide.path = file;
      const bool is_test = slide.id.starts_with("test_");
      slide.split = is_test ? Split::test : Split::train;
      if (slide.id.starts_with("normal_")) slide.label = 0;
      if (slide.id.starts_with("tumor_")) slide.label = 1;
      if (is_test) {
        const auto found = reference.find(slide.id);
        if (found != reference.end()) slide.label = found->second;
      }
      const fs::path xml =
          root / (is_test ? layout.test_annotations : layout.annotations) / (slide.id + ".xml");
      if (fs::exists(xml)) slide.annotation = xml;
      dataset.slides.push_back(std::move(slide));
    }
    if (reference.empty()) {
      dataset.notes.push_back(
          fmt::format("{} is not there: test slides have no labels", reference_file.string()));
    }
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
