#include "train/data/datasets/dataset.h"

#include <algorithm>
#include <map>
#include <set>

#include "tensor/check.h"
#include "tensor/text.h"
#include "train/data/datasets/registry.h"

namespace mt::train {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMostSlides = 100000;

/// Slides of one name are told apart by nobody: all of them are left out.
void leave_out_namesakes(Dataset& dataset) {
  std::map<std::string, const SlideRecord*> first;
  std::map<std::string, std::string> namesakes;
  for (const SlideRecord& slide : dataset.slides) {
    const auto [at, is_new] = first.emplace(slide.id, &slide);
    if (!is_new && !namesakes.contains(slide.id)) {
      namesakes[slide.id] = fmt::format("{}: two slides are called {}; the other is in {}", slide.place,
                                        printable(slide.id, 80), at->second->place);
    }
  }
  std::erase_if(dataset.slides, [&](const SlideRecord& slide) {
    if (!namesakes.contains(slide.id)) return false;
    dataset.left_out[slide.id] = namesakes.at(slide.id);
    return true;
  });
  for (const auto& [id, problem] : namesakes) dataset.problems.push_back(problem);
}

}  // namespace

std::vector<std::string> class_problems(const Dataset& dataset) {
  std::vector<std::string> problems;
  for (const Split split : {Split::train, Split::validation, Split::test}) {
    std::set<int> classes;
    for (const auto& slide : dataset.slides) {
      if (slide.split == split) classes.insert(slide.label);
    }
    if (classes.size() == 2) continue;
    const std::string have =
        classes.empty()
            ? "nobody among them"
            : fmt::format("only one class ({})", dataset.classes[static_cast<std::size_t>(*classes.begin())]);
    problems.push_back(
        fmt::format("{}: the {} slides have {}; both classes are needed (see --labels and --splits)",
                    dataset.name, name_of(split), have));
  }
  return problems;
}

void check_classes(const Dataset& dataset) {
  const std::vector<std::string> problems = class_problems(dataset);
  check(problems.empty(), "{}", problems.empty() ? "" : problems.front());
}

Dataset load_dataset(const Config& config, const fs::path& phantom_root,
                     const std::map<std::string, Split>& drawn_before) {
  const DatasetKind& kind = dataset_kind(config);
  const fs::path root = dataset_root(config, phantom_root);
  Dataset dataset = kind.load(config, root);
  check(dataset.has_slides || !config.features.empty(),
        "{}: is DSMIL's list of bags, which names no slides; give the folder of the features with --features",
        config.data);
  dataset.leave_out([&](const SlideRecord& slide) {
    const std::string problem = slide_id_problem(slide.id);
    return problem.empty() ? problem : fmt::format("{}: {}", slide.place, problem);
  });
  check(dataset.slides.size() <= kMostSlides, "{}: has {} slides; {} are the most that one run takes",
        dataset.name, dataset.slides.size(), kMostSlides);
  leave_out_namesakes(dataset);
  if (!config.labels.empty()) {
    join_labels(dataset, config.labels);
    dataset.tables.emplace_back("labels", config.labels);
  }
  resolve_labels(dataset, config.positive);
  take_cases_from_barcodes(dataset);
  std::sort(dataset.slides.begin(), dataset.slides.end(),
            [](const auto& a, const auto& b) { return a.id < b.id; });
  // A phantom set brings its split along, beside its slides; no other folder is asked for one.
  const fs::path splits_of_phantom = root / "phantom/splits.csv";
  if (!config.splits.empty()) {
    join_splits(dataset, config.splits);
    dataset.tables.emplace_back("splits", config.splits);
  } else if (kind.test_is_known && fs::exists(splits_of_phantom)) {
    join_splits(dataset, splits_of_phantom);
    dataset.tables.emplace_back("splits", splits_of_phantom);
    if (!kind.lies_in_run)
      dataset.notes.push_back(fmt::format("the split is that of {}", splits_of_phantom.string()));
  } else if (!dataset.split_is_given) {
    split_by_case(dataset, config.seed, kind.test_is_known, drawn_before);
    dataset.split_is_drawn = true;
    dataset.notes.push_back(fmt::format(
        "no split is given: a fifth of the training cases of each class validates{} (see --splits{})",
        kind.test_is_known ? "" : ", after a quarter of all cases became the test set", kind.known_split));
  }
  note_divided_cases(dataset);
  return dataset;
}

}  // namespace mt::train
