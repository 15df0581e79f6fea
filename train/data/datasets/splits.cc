// Which slide trains, validates and tests: tables that say it, and the draw where none does.

#include <algorithm>
#include <map>
#include <set>

#include "tensor/check.h"
#include "tensor/rng.h"
#include "tensor/text.h"
#include "train/data/datasets/dataset.h"
#include "train/data/datasets/slide_names.h"

namespace mt::train {
namespace {

namespace fs = std::filesystem;

/// One cell of a table: this slide is in that split.
struct Assignment {
  std::string name;
  Split split;
  std::string place;
};

std::optional<bool> flag_of(const std::string& text) {
  const std::string word = lower_case(text);
  if (word == "true" || word == "1" || word == "1.0") return true;
  if (word == "false" || word == "0" || word == "0.0" || word.empty()) return false;
  return std::nullopt;
}

using SplitColumns = std::map<Split, std::size_t>;

/// CLAM's splits_i_bool.csv: names in the first column (or slide_id), True under the split of each.
bool is_table_of_flags(const CsvTable& table, const SplitColumns& columns) {
  bool is_any = false;
  for (const CsvRow& row : table.rows()) {
    for (const auto& [split, column] : columns) {
      const auto flag = flag_of(row.fields[column]);
      if (!flag) return false;
      is_any = is_any || *flag;
    }
  }
  return is_any;
}

std::vector<Assignment> assignments_in(const CsvTable& table) {
  std::vector<Assignment> result;
  const auto split_column = table.find_column("split");
  if (const auto name_column = table.find_column({"slide_id", "slide"}); name_column && split_column) {
    for (const CsvRow& row : table.rows()) {
      const auto split = parse_split(row.fields[*split_column]);
      check(split.has_value(), "{}: split \"{}\": there is train, val and test", table.place(row),
            printable(row.fields[*split_column], 80));
      result.push_back({row.fields[*name_column], *split, table.place(row)});
    }
    return result;
  }
  SplitColumns columns;
  columns[Split::train] = table.column({"train", "training"});
  columns[Split::validation] = table.column({"val", "validation", "valid", "dev"});
  columns[Split::test] = table.column({"test", "testing"});
  const bool has_flags = is_table_of_flags(table, columns);
  const std::size_t name_column = table.find_column({"slide_id", "slide"}).value_or(0);
  for (const CsvRow& row : table.rows()) {
    for (const auto& [split, column] : columns) {
      if (has_flags && *flag_of(row.fields[column]))
        result.push_back({row.fields[name_column], split, table.place(row)});
      if (!has_flags && !row.fields[column].empty())
        result.push_back({row.fields[column], split, table.place(row)});
    }
  }
  return result;
}

void report_strangers(Dataset& dataset, const fs::path& csv, const std::vector<Assignment>& strangers,
                      std::size_t assignments, std::size_t matched) {
  if (strangers.size() == 1) {
    dataset.problems.push_back(fmt::format("{}: slide {} is in split {}, but there is no file of it",
                                           strangers[0].place, printable(strangers[0].name, 80),
                                           name_of(strangers[0].split)));
  } else if (!strangers.empty()) {
    std::vector<std::string> names;
    for (const Assignment& stranger : strangers) names.push_back(stranger.name);
    dataset.problems.push_back(fmt::format(
        "{}: there is no file of {} of its {} slides: {}{}", csv.string(), strangers.size(), assignments,
        listed(names),
        matched == 0 && !dataset.slides.empty()
            ? fmt::format("; the slides are called {} and so on", printable(dataset.slides[0].id, 80))
            : ""));
  }
}

bool is_letter_or_digit(char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/// The patient of TCGA-AA-1234-01Z-00-DX1: its first three parts. Empty where the name is none of TCGA's.
/// https://docs.gdc.cancer.gov/Encyclopedia/pages/TCGA_Barcode/
std::string patient_in_barcode(const std::string& id) {
  constexpr std::string_view kPattern = "TCGA-xx-xxxx-";
  if (id.size() < kPattern.size()) return {};
  for (std::size_t i = 0; i < kPattern.size(); ++i) {
    const bool fits = kPattern[i] == 'x' ? is_letter_or_digit(id[i]) : id[i] == kPattern[i];
    if (!fits) return {};
  }
  return id.substr(0, kPattern.size() - 1);
}

}  // namespace

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

std::optional<Split> parse_split(const std::string& text) {
  const std::string word = lower_case(text);
  if (word == "train" || word == "training") return Split::train;
  if (word == "val" || word == "validation" || word == "valid" || word == "dev") return Split::validation;
  if (word == "test" || word == "testing") return Split::test;
  return std::nullopt;
}

void join_splits(Dataset& dataset, const fs::path& csv) {
  const CsvTable table = read_csv(csv.string());
  const std::vector<Assignment> assignments = assignments_in(table);
  const SlideNames names(dataset.slides);
  std::map<std::size_t, Assignment> assigned;
  std::set<std::size_t> contradicted;
  std::vector<std::string> twice;
  std::vector<std::string> spelt_otherwise;
  std::vector<Assignment> strangers;
  for (const Assignment& assignment : assignments) {
    const auto slide = names.find(assignment.name);
    if (!slide) {
      strangers.push_back(assignment);
      continue;
    }
    if (dataset.slides[*slide].id != assignment.name) spelt_otherwise.push_back(assignment.name);
    const auto [at, is_new] = assigned.emplace(*slide, assignment);
    if (is_new) continue;
    if (at->second.split == assignment.split) {
      twice.push_back(assignment.name);
    } else if (contradicted.insert(*slide).second) {
      dataset.problems.push_back(fmt::format("{}: slide {} is in two splits, {} here and {} in {}",
                                             assignment.place, printable(assignment.name, 80),
                                             name_of(assignment.split), name_of(at->second.split),
                                             at->second.place));
      dataset.left_out[dataset.slides[*slide].id] = dataset.problems.back();
    }
  }
  report_strangers(dataset, csv, strangers, assignments.size(), assigned.size());
  if (!twice.empty())
    dataset.notes.push_back(fmt::format("{}: named twice in one split: {}", csv.string(), listed(twice)));
  if (!spelt_otherwise.empty()) {
    dataset.notes.push_back(fmt::format("{}: {} found by name without ending, decimals and case: {}",
                                        csv.string(), counted(spelt_otherwise.size(), "slide"),
                                        listed(spelt_otherwise, 3)));
  }
  std::vector<SlideRecord> kept;
  std::vector<std::string> in_none;
  for (std::size_t i = 0; i < dataset.slides.size(); ++i) {
    const auto found = assigned.find(i);
    if (found == assigned.end()) {
      in_none.push_back(dataset.slides[i].id);
    } else if (!contradicted.contains(i)) {
      dataset.slides[i].split = found->second.split;
      kept.push_back(std::move(dataset.slides[i]));
    }
  }
  if (!in_none.empty()) {
    dataset.notes.push_back(fmt::format(
        "{} in no split of {} and left out: {}",
        in_none.size() == 1 ? std::string("1 slide is") : fmt::format("{} slides are", in_none.size()),
        csv.string(), listed(in_none)));
  }
  dataset.slides = std::move(kept);
}

void take_cases_from_barcodes(Dataset& dataset) {
  std::size_t slides = 0;
  std::set<std::string> patients;
  for (SlideRecord& slide : dataset.slides) {
    if (slide.case_id != slide.id) continue;
    const std::string patient = patient_in_barcode(slide.id);
    if (patient.empty()) continue;
    slide.case_id = patient;
    patients.insert(patient);
    ++slides;
  }
  if (slides > 0) {
    dataset.notes.push_back(
        fmt::format("{} of {} by TCGA's names: slides of one patient are one case{}",
                    counted(slides, "slide"), counted(patients.size(), "patient"),
                    slides == patients.size() ? "" : " and stay together where the split is drawn"));
  }
}

void note_divided_cases(Dataset& dataset) {
  std::map<std::string, std::set<Split>> splits_of;
  for (const auto& slide : dataset.slides) splits_of[slide.case_id].insert(slide.split);
  for (const auto& [name, splits] : splits_of) {
    if (splits.size() < 2) continue;
    std::string list;
    for (const Split split : splits) list += (list.empty() ? "" : " and ") + std::string(name_of(split));
    dataset.notes.push_back(fmt::format(
        "case {} has slides in {}: figures on unseen slides will look too good", printable(name, 80), list));
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

}  // namespace mt::train
