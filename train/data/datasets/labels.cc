// From what a label column says to classes 0 and 1.

#include <algorithm>
#include <map>
#include <set>

#include "tensor/check.h"
#include "tensor/text.h"
#include "train/data/datasets/dataset.h"
#include "train/data/datasets/slide_names.h"

namespace mt::train {
namespace {

namespace fs = std::filesystem;

/// What spreadsheets and pandas write where nothing is known.
bool is_missing(const std::string& label) {
  constexpr std::array kMissing = {"", "nan", "na", "n/a", "none", "null", "?", "-"};
  return std::find(kMissing.begin(), kMissing.end(), lower_case(label)) != kMissing.end();
}

/// Words that a report says better as normal and tumour.
bool is_shorthand(const std::string& label) {
  const std::string word = lower_case(label);
  return number_in(word) || word == "true" || word == "false" || word == "normal" || word == "tumor" ||
         word == "tumour";
}

/// All slides with one label.
struct LabelGroup {
  std::string name;  // as it is written first
  std::string place;
  std::size_t count = 0;
};

/// A label as it is compared: lower case, numbers without their decimals.
std::string key_of(const std::string& label) {
  const auto number = number_in(label);
  return number ? fmt::format("{}", *number) : lower_case(label);
}

std::map<std::string, LabelGroup> groups_of(const Dataset& dataset) {
  std::map<std::string, LabelGroup> groups;
  for (const SlideRecord& slide : dataset.slides) {
    if (is_missing(slide.label_name)) continue;
    LabelGroup& group = groups[key_of(slide.label_name)];
    if (group.count++ == 0) group = {slide.label_name, slide.place, 1};
  }
  return groups;
}

std::string list_of(const std::map<std::string, LabelGroup>& groups) {
  std::vector<std::string> names;
  for (const auto& [key, group] : groups) names.push_back(fmt::format("{} ({})", group.name, group.count));
  return listed(names);
}

/// Class by label, when --positive says which; throws where there are more than two.
std::map<std::string, int> chosen_classes(const Dataset& dataset,
                                          const std::map<std::string, LabelGroup>& groups,
                                          const std::string& positive) {
  check(groups.contains(key_of(positive)), "--positive {}: no slide of {} is labelled so; the labels are {}",
        positive, dataset.name, list_of(groups));
  check(groups.size() <= 2,
        "--positive {}: the labels are {}; two classes are supported, so leave out the slides of the others",
        positive, list_of(groups));
  std::map<std::string, int> classes;
  for (const auto& [key, group] : groups) classes[key] = key == key_of(positive) ? 1 : 0;
  return classes;
}

/// Class by label for the known words; labels beside both of them are problems of their slides.
std::map<std::string, int> known_classes(Dataset& dataset, const std::map<std::string, LabelGroup>& groups) {
  std::map<std::string, int> classes;
  std::set<int> found;
  for (const auto& [key, group] : groups) {
    if (const auto known = known_label(key)) found.insert(classes[key] = *known);
  }
  if (classes.size() == groups.size()) return classes;
  if (groups.size() == 2) {
    fail("{}: the labels are {}; say which is the positive class, --positive {} or --positive {}",
         dataset.name, list_of(groups), groups.begin()->second.name, groups.rbegin()->second.name);
  }
  check(
      found.size() == 2,
      "{}: the labels are {}; two classes are supported, written 0/1, normal/tumor or negative/positive, or "
      "called as you like with --positive NAME",
      dataset.name, list_of(groups));
  for (const auto& [key, group] : groups) {
    if (classes.contains(key)) continue;
    dataset.problems.push_back(
        fmt::format("{}: label \"{}\"{}: two classes are supported, written 0/1, normal/tumor or "
                    "negative/positive, or called "
                    "as you like with --positive NAME",
                    group.place, printable(group.name, 80),
                    group.count == 1 ? "" : fmt::format(" ({})", counted(group.count, "slide"))));
  }
  return classes;
}

/// What the report calls the classes: as the table does, but normal and tumour where it only counts and
/// nobody chose.
void name_classes(Dataset& dataset, const std::map<std::string, LabelGroup>& groups,
                  const std::map<std::string, int>& classes, bool is_chosen) {
  std::array<std::vector<std::string>, 2> names;
  for (const auto& [key, label] : classes)
    names[static_cast<std::size_t>(label)].push_back(groups.at(key).name);
  const bool is_named = std::all_of(names.begin(), names.end(), [&](const auto& words) {
    return words.size() <= 1 && (words.empty() || is_chosen || !is_shorthand(words[0]));
  });
  if (!is_named || (names[0].empty() && names[1].empty())) return;
  const std::string other = names[names[0].empty() ? 1 : 0][0];
  for (std::size_t i = 0; i < names.size(); ++i)
    dataset.classes[i] = names[i].empty() ? "not " + other : names[i][0];
}

}  // namespace

std::optional<int> known_label(const std::string& text) {
  static const std::map<std::string, int> kWords{{"0", 0},        {"normal", 0},        {"negative", 0},
                                                 {"false", 0},    {"normal_tissue", 0}, {"benign", 0},
                                                 {"1", 1},        {"tumor", 1},         {"tumour", 1},
                                                 {"positive", 1}, {"true", 1},          {"tumor_tissue", 1},
                                                 {"cancer", 1},   {"malignant", 1},     {"tumour_tissue", 1}};
  const auto found = kWords.find(key_of(text));
  if (found == kWords.end()) return std::nullopt;
  return found->second;
}

void resolve_labels(Dataset& dataset, const std::string& positive) {
  std::vector<std::string> missing;
  for (const SlideRecord& slide : dataset.slides) {
    if (is_missing(slide.label_name)) missing.push_back(slide.id);
  }
  constexpr std::size_t kOneByOne = 8;
  if (missing.size() > kOneByOne) {
    dataset.problems.push_back(fmt::format("{}: {} of {} slides have no label: {}", dataset.name,
                                           missing.size(), dataset.slides.size(), listed(missing)));
  }
  const auto groups = groups_of(dataset);
  std::map<std::string, int> classes;
  if (!groups.empty())
    classes = positive.empty() ? known_classes(dataset, groups) : chosen_classes(dataset, groups, positive);
  name_classes(dataset, groups, classes, !positive.empty());
  std::erase_if(dataset.slides, [&](SlideRecord& slide) {
    const auto found = is_missing(slide.label_name) ? classes.end() : classes.find(key_of(slide.label_name));
    if (found != classes.end()) {
      slide.label = found->second;
      return false;
    }
    const bool has_label = !is_missing(slide.label_name);
    const std::string problem = fmt::format("{}: slide {} has {}", slide.place, printable(slide.id, 80),
                                            has_label ? "a label of a third class" : "no label");
    if (!has_label && missing.size() <= kOneByOne) dataset.problems.push_back(problem);
    dataset.left_out[slide.id] = problem;
    return true;
  });
}

void join_labels(Dataset& dataset, const fs::path& csv) {
  const CsvTable table = read_csv(csv.string());
  const bool is_dsmil = is_dsmil_list(table);
  const std::size_t slide_column = is_dsmil ? table.column("0") : table.column({"slide_id", "slide"});
  const std::size_t label_column = table.column("label");
  const auto case_column = table.find_column({"case_id", "patient_id", "patient", "case"});
  const SlideNames names(dataset.slides);
  for (SlideRecord& slide : dataset.slides) slide.label_name.clear();
  std::map<std::size_t, const CsvRow*> row_of;
  std::vector<std::string> strangers;
  std::string first_place;
  for (const CsvRow& row : table.rows()) {
    const std::string& name = row.fields[slide_column];
    if (name.empty()) continue;
    const auto found = names.find(name);
    if (!found) {
      if (strangers.empty()) first_place = table.place(row);
      strangers.push_back(name);
      continue;
    }
    const auto [at, is_new] = row_of.emplace(*found, &row);
    if (!is_new) {
      dataset.problems.push_back(fmt::format("{}: slide {} is there twice, in line {} too", table.place(row),
                                             printable(name, 80), at->second->line));
      continue;
    }
    SlideRecord& slide = dataset.slides[*found];
    slide.label_name = row.fields[label_column];
    slide.place = table.place(row);
    if (case_column && !row.fields[*case_column].empty()) slide.case_id = row.fields[*case_column];
  }
  if (strangers.size() == 1) {
    dataset.problems.push_back(fmt::format("{}: a label for slide {}, of which there is no file", first_place,
                                           printable(strangers[0], 80)));
  } else if (!strangers.empty()) {
    dataset.problems.push_back(
        fmt::format("{}: labels for {} slides of which there is no file: {}{}", csv.string(),
                    strangers.size(), listed(strangers),
                    row_of.empty() && !dataset.slides.empty()
                        ? fmt::format("; slides are called {} and so on", dataset.slides[0].id)
                        : ""));
  }
}

}  // namespace mt::train
