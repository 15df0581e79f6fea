#include "tensor/check.h"
#include "train/data/datasets/dataset.h"

namespace mt::train {
namespace {

namespace fs = std::filesystem;

Split parse_split(const std::string& text, const fs::path& csv, int64_t line) {
  if (text == "train" || text == "training") return Split::train;
  if (text == "val" || text == "validation") return Split::validation;
  check(text == "test" || text == "testing", "{}, line {}: split \"{}\": there is train, val and test",
        csv.string(), line, text);
  return Split::test;
}

/// Every bag, called as its feature file; nothing is known about cases, splits and pixels.
Dataset dsmil_dataset(const CsvTable& table, const fs::path& csv) {
  Dataset dataset;
  dataset.name = "dsmil";
  const std::size_t path_column = table.column("0");
  const std::size_t label_column = table.column("label");
  for (const CsvRow& row : table.rows()) {
    SlideRecord slide;
    slide.path = row.fields[path_column];
    slide.id = slide.case_id = slide.path.stem().string();
    slide.label = parse_label(row.fields[label_column]);
    check(slide.label >= 0, "{}, line {}: label \"{}\": 0 or 1 is supported", csv.string(), row.line,
          row.fields[label_column]);
    dataset.slides.push_back(std::move(slide));
  }
  check(!dataset.slides.empty(), "{}: no bags in it", csv.string());
  return dataset;
}

}  // namespace

bool is_dsmil_list(const CsvTable& table) {
  return !table.find_column("slide_id") && table.find_column("0") && table.find_column("label");
}

Dataset load_slide_csv(const fs::path& csv, const fs::path& root) {
  check(fs::exists(csv), "{}: this file is not there", csv.string());
  const CsvTable table = read_csv(csv.string());
  if (is_dsmil_list(table)) return dsmil_dataset(table, csv);
  const std::size_t id_column = table.column("slide_id");
  const std::size_t path_column = table.column("path");
  const std::size_t label_column = table.column("label");
  const auto case_column = table.find_column("case_id");
  const auto split_column = table.find_column("split");
  const auto annotation_column = table.find_column("annotation");
  const fs::path base = root.empty() ? csv.parent_path() : root;
  const auto resolved = [&](const std::string& path) {
    return fs::path(path).is_absolute() ? fs::path(path) : base / path;
  };

  Dataset dataset;
  dataset.name = split_column ? "csv with splits" : "csv";
  for (const CsvRow& row : table.rows()) {
    SlideRecord slide;
    slide.id = row.fields[id_column];
    check(!slide.id.empty(), "{}, line {}: slide_id is empty", csv.string(), row.line);
    slide.path = resolved(row.fields[path_column]);
    const std::string& label = row.fields[label_column];
    slide.label = parse_label(label);
    check(slide.label >= 0 || label.empty(),
          "{}, line {}: label \"{}\": two classes are supported, written 0/1, normal/tumor or "
          "negative/positive",
          csv.string(), row.line, label);
    slide.case_id = case_column && !row.fields[*case_column].empty() ? row.fields[*case_column] : slide.id;
    if (split_column) slide.split = parse_split(row.fields[*split_column], csv, row.line);
    if (annotation_column && !row.fields[*annotation_column].empty())
      slide.annotation = resolved(row.fields[*annotation_column]);
    dataset.slides.push_back(std::move(slide));
  }
  check(!dataset.slides.empty(), "{}: no slides in it", csv.string());
  return dataset;
}

}  // namespace mt::train
