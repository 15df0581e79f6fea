#include "train/data/datasets/dataset.h"

#include <algorithm>
#include <map>
#include <set>

#include "tensor/check.h"
#include "tensor/rng.h"

namespace mt::train {
namespace {

namespace fs = std::filesystem;

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

}  // namespace

void check_classes(const Dataset& dataset) {
  for (const Split split : {Split::train, Split::validation, Split::test}) {
    std::set<int> classes;
    for (const auto& slide : dataset.slides) {
      if (slide.split == split) classes.insert(slide.label);
    }
    check(classes.size() == 2,
          "{}: the {} slides have {}; both classes are needed (see --labels and --splits)", dataset.name,
          name_of(split), classes.empty() ? "nobody among them" : "only one class");
  }
}

const char* name_of(Split split) {
  switch (split) {
    case Split::train:
      return "train";
    case Split::validation:
      return "validation";
    case Split::test:
      return "test";
  }
  return "?";
}

int parse_label(const std::string& text) {
  const std::string label = lower(text);
  if (label == "1" || label == "tumor" || label == "tumour" || label == "positive" || label == "true")
    return 1;
  if (label == "0" || label == "normal" || label == "negative" || label == "false") return 0;
  return -1;
}

void join_labels(Dataset& dataset, const fs::path& csv) {
  const CsvTable table = read_csv(csv.string());
  const bool is_dsmil = is_dsmil_list(table);
  const std::size_t slide_column = table.column(is_dsmil ? "0" : "slide_id");
  const std::size_t label_column = table.column("label");
  const auto case_column = table.find_column("case_id");
  std::map<std::string, const CsvRow*> rows;
  for (const CsvRow& row : table.rows()) {
    const std::string& field = row.fields[slide_column];
    const std::string name = is_dsmil ? fs::path(field).stem().string() : field;
    check(rows.emplace(name, &row).second, "{}, line {}: slide {} is there twice", csv.string(), row.line,
          name);
  }
  for (auto& slide : dataset.slides) {
    const auto found = rows.find(slide.id);
    slide.label = -1;
    if (found == rows.end()) continue;
    const CsvRow& row = *found->second;
    slide.label = parse_label(row.fields[label_column]);
    check(slide.label >= 0,
          "{}, line {}: label \"{}\": two classes are supported, written 0/1, normal/tumor or "
          "negative/positive",
          csv.string(), row.line, row.fields[label_column]);
    if (case_column) slide.case_id = row.fields[*case_column];
    rows.erase(found);
  }
  for (const auto& [name, row] : rows) {
    dataset.problems.push_back(fmt::format("{}, line {}: a label for slide {}, of which there is no file",
                                           csv.string(), row->line, name));
  }
}

void join_splits(Dataset& dataset, const fs::path& csv) {
  const CsvTable table = read_csv(csv.string());
  std::map<std::string, Split> split_of;
  for (const auto& [column_name, split] :
       {std::pair{"train", Split::train}, std::pair{"val", Split::validation},
        std::pair{"test", Split::test}}) {
    const std::size_t column = table.column(column_name);
    for (const CsvRow& row : table.rows()) {
      const std::string& name = row.fields[column];
      if (name.empty()) continue;
      check(split_of.emplace(name, split).second, "{}, line {}: slide {} is in two splits", csv.string(),
            row.line, name);
    }
  }
  std::vector<SlideRecord> kept;
  std::size_t left_out = 0;
  for (auto& slide : dataset.slides) {
    const auto found = split_of.find(slide.id);
    if (found == split_of.end()) {
      ++left_out;
      continue;
    }
    slide.split = found->second;
    split_of.erase(found);
    kept.push_back(std::move(slide));
  }
  dataset.slides = std::move(kept);
  if (left_out != 0)
    dataset.notes.push_back(fmt::format(
        "{} in no split of {} and left out",
        left_out == 1 ? std::string("1 slide is") : fmt::format("{} slides are", left_out), csv.string()));
  for (const auto& [name, split] : split_of) {
    dataset.problems.push_back(fmt::format("{}: slide {} is in split {}, but there is no file of it",
                                           csv.string(), name, name_of(split)));
  }
}

void note_divided_cases(Dataset& dataset) {
  std::map<std::string, std::set<Split>> splits_of;
  for (const auto& slide : dataset.slides) splits_of[slide.case_id].insert(slide.split);
  for (const auto& [name, splits] : splits_of) {
    if (splits.size() < 2) continue;
    std::string list;
    for (const Split split : splits) list += (list.empty() ? "" : " and ") + std::string(name_of(split));
    dataset.notes.push_back(
        fmt::format("case {} has slides in {}: figures on unseen slides will look too good", name, list));
  }
}

void split_by_case(Dataset& dataset, uint64_t seed, bool test_is_known,
                   const std::map<std::string, Split>& drawn_before) {
  // Cases of one class in an order that depends on seed and name only; a case counts as positive when any
  // slide is.
  std::map<std::string, int> label_of;
  for (const auto& slide : dataset.slides) {
    if ((test_is_known && slide.split == Split::test) || drawn_before.contains(slide.case_id)) continue;
    int& label = label_of[slide.case_id];
    label = std::max(label, slide.label);
  }
  std::map<std::string, Split> split_of = drawn_before;
  for (const int label : {0, 1}) {
    std::vector<std::pair<uint64_t, std::string>> cases;
    for (const auto& [name, l] : label_of) {
      if (std::max(l, 0) == label)
        cases.emplace_back(RandomStream(seed, Purpose::split, 0, hash64(name)).next64(), name);
    }
    std::sort(cases.begin(), cases.end());
    std::size_t next = 0;
    const std::size_t tests = test_is_known ? 0 : (cases.size() + 2) / 4;
    for (; next < tests; ++next) split_of[cases[next].second] = Split::test;
    const std::size_t validations = (cases.size() - tests + 2) / 5;
    for (; next < tests + validations; ++next) split_of[cases[next].second] = Split::validation;
    for (; next < cases.size(); ++next) split_of[cases[next].second] = Split::train;
  }
  for (auto& slide : dataset.slides) {
    if (test_is_known && slide.split == Split::test) continue;
    slide.split = split_of.at(slide.case_id);
  }
}

Dataset load_dataset(const Config& config, const fs::path& phantom_root,
                     const std::map<std::string, Split>& drawn_before) {
  const bool camelyon = config.data != "phantom" && !config.data.ends_with(".csv");
  const fs::path root = config.data == "phantom" ? phantom_root : fs::path(config.root);
  Dataset dataset = config.data.ends_with(".csv") ? load_slide_csv(config.data, root) : load_camelyon16(root);
  check(dataset.name != "dsmil" || !config.features.empty(),
        "{}: is DSMIL's list of bags, which names no slides; give the folder of the features with --features",
        config.data);
  if (config.data.ends_with(".csv")) dataset.tables.emplace_back("data", config.data);
  if (!config.labels.empty()) {
    join_labels(dataset, config.labels);
    dataset.tables.emplace_back("labels", config.labels);
  }
  std::erase_if(dataset.slides, [&](const SlideRecord& slide) {
    const std::string problem = slide_id_problem(slide.id);
    if (!problem.empty()) dataset.problems.push_back(fmt::format("{}: {}", dataset.name, problem));
    return !problem.empty();
  });
  std::sort(dataset.slides.begin(), dataset.slides.end(),
            [](const auto& a, const auto& b) { return a.id < b.id; });
  for (std::size_t i = 1; i < dataset.slides.size(); ++i) {
    check(dataset.slides[i].id != dataset.slides[i - 1].id, "{}: two slides are called {}: {} and {}",
          dataset.name, dataset.slides[i].id, dataset.slides[i - 1].path.string(),
          dataset.slides[i].path.string());
  }
  std::erase_if(dataset.slides, [&](const SlideRecord& slide) {
    if (slide.label < 0)
      dataset.problems.push_back(fmt::format("{}: this slide has no label", slide.path.string()));
    return slide.label < 0;
  });
  // A phantom set brings its split along, beside its slides; no other folder is asked for one.
  const fs::path splits_of_phantom = root / "phantom/splits.csv";
  if (!config.splits.empty()) {
    join_splits(dataset, config.splits);
    dataset.tables.emplace_back("splits", config.splits);
  } else if (dataset.name == "camelyon16" && fs::exists(splits_of_phantom)) {
    join_splits(dataset, splits_of_phantom);
    dataset.tables.emplace_back("splits", splits_of_phantom);
    if (config.data != "phantom")
      dataset.notes.push_back(fmt::format("the split is that of {}", splits_of_phantom.string()));
  } else if (dataset.name != "csv with splits") {
    split_by_case(dataset, config.seed, dataset.name == "camelyon16", drawn_before);
    dataset.split_is_drawn = true;
    dataset.notes.push_back(fmt::format(
        "no split is given: a fifth of the training cases of each class validates{} (see --splits{})",
        dataset.name == "camelyon16" ? "" : ", after a quarter of all cases became the test set",
        camelyon ? "; the paper's is train/data/datasets/splits/camelyon16_paper.csv" : ""));
  }
  note_divided_cases(dataset);
  check_classes(dataset);
  return dataset;
}

}  // namespace mt::train
