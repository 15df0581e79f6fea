#include <algorithm>

#include "tensor/check.h"
#include "tensor/text.h"
#include "train/data/datasets/dataset.h"
#include "train/data/datasets/files_by_name.h"
#include "train/data/datasets/slide_names.h"
#include "wsi/level.h"

namespace mt::train {
namespace {

namespace fs = std::filesystem;

/// Every bag, called as its feature file; nothing is known about cases, splits and pixels.
Dataset dsmil_dataset(const CsvTable& table) {
  Dataset dataset;
  dataset.name = fs::path(table.source()).filename().string();
  dataset.has_slides = false;
  const std::size_t path_column = table.column("0");
  const std::size_t label_column = table.column("label");
  for (const CsvRow& row : table.rows()) {
    SlideRecord slide;
    slide.path = row.fields[path_column];
    slide.id = slide.case_id = slide.path.stem().string();
    slide.label_name = row.fields[label_column];
    slide.place = table.place(row);
    dataset.slides.push_back(std::move(slide));
  }
  check(!dataset.slides.empty(), "{}: no bags in it", table.source());
  return dataset;
}

/// The columns of a table of slides; those that may be missing are optional.
struct Columns {
  explicit Columns(const CsvTable& table)
      : id(table.column({"slide_id", "slide"})),
        label(table.find_column("label")),
        path(table.find_column({"path", "slide_path", "file"})),
        case_id(table.find_column({"case_id", "patient_id", "patient", "case"})),
        split(table.find_column("split")),
        annotation(table.find_column("annotation")),
        mpp(table.find_column("mpp")) {}
  std::size_t id;
  std::optional<std::size_t> label, path, case_id, split, annotation, mpp;
};

std::string field(const CsvRow& row, const std::optional<std::size_t>& column) {
  return column ? row.fields[*column] : std::string();
}

/// Gives slides without a path the file that is called like them.
void find_files(Dataset& dataset, const fs::path& folder) {
  if (std::none_of(dataset.slides.begin(), dataset.slides.end(),
                   [](const auto& slide) { return slide.path.empty(); }))
    return;
  const FilesByName files(folder, 1, is_slide_file, "give the folder of the slides with --root");
  const std::string where =
      fmt::format("in {}, nor one folder below (see --root)", folder.empty() ? "." : folder.string());
  dataset.leave_out([&](SlideRecord& slide) -> std::string {
    if (!slide.path.empty()) return {};
    const std::vector<fs::path> found = files.find(slide.id);
    if (found.size() == 1) {
      slide.path = found[0];
      return {};
    }
    if (found.empty()) return {};
    return fmt::format("{}: slide {} has {} files, {} and {}; name the one that is meant in a column path",
                       slide.place, printable(slide.id, 80), found.size(), found[0].string(),
                       found[1].string());
  });
  std::vector<std::string> missing;
  for (const SlideRecord& slide : dataset.slides) {
    if (slide.path.empty()) missing.push_back(slide.id);
  }
  constexpr std::size_t kOneByOne = 8;
  if (missing.size() > kOneByOne) {
    dataset.problems.push_back(fmt::format("{}: of {} slides there is no file {}: {}",
                                           dataset.tables.front().second.string(), missing.size(), where,
                                           listed(missing)));
  }
  std::erase_if(dataset.slides, [&](const SlideRecord& slide) {
    if (!slide.path.empty()) return false;
    const std::string problem =
        fmt::format("{}: of slide {} there is no file {}", slide.place, printable(slide.id, 80), where);
    dataset.left_out[slide.id] = problem;
    if (missing.size() <= kOneByOne) dataset.problems.push_back(problem);
    return true;
  });
}

}  // namespace

bool is_dsmil_list(const CsvTable& table) {
  return !table.find_column({"slide_id", "slide"}) && table.find_column("0") && table.find_column("label");
}

Dataset load_slide_csv(const fs::path& csv, const fs::path& root, bool with_features, bool with_splits) {
  check(fs::exists(csv), "{}: this file is not there", csv.string());
  const CsvTable table = read_csv(csv.string());
  Dataset dataset;
  if (is_dsmil_list(table)) {
    dataset = dsmil_dataset(table);
    dataset.tables.emplace_back("data", csv);
    return dataset;
  }
  const Columns columns(table);
  const fs::path base = root.empty() ? csv.parent_path() : root;
  const auto resolved = [&](const std::string& path) {
    if (path.empty()) return fs::path();
    return fs::path(path).is_absolute() ? fs::path(path) : base / path;
  };
  dataset.name = csv.filename().string();
  dataset.split_is_given = columns.split.has_value();
  dataset.tables.emplace_back("data", csv);
  const auto leave_out = [&](const SlideRecord& slide, const std::string& why) {
    dataset.problems.push_back(fmt::format("{}: slide {}: {}", slide.place, printable(slide.id, 80), why));
    dataset.left_out[slide.id] = dataset.problems.back();
  };
  for (const CsvRow& row : table.rows()) {
    SlideRecord slide;
    slide.place = table.place(row);
    slide.id = row.fields[columns.id];
    slide.path = resolved(field(row, columns.path));
    slide.label_name = field(row, columns.label);
    slide.case_id = field(row, columns.case_id).empty() ? slide.id : field(row, columns.case_id);
    slide.annotation = resolved(field(row, columns.annotation));
    if (columns.split && with_splits) {
      const auto split = parse_split(field(row, columns.split));
      if (!split) {
        leave_out(slide, fmt::format("split \"{}\": there is train, val and test",
                                     printable(field(row, columns.split), 80)));
        continue;
      }
      slide.split = *split;
    }
    if (const std::string mpp = field(row, columns.mpp); !mpp.empty()) {
      slide.mpp = number_in(mpp).value_or(0);
      if (!(wsi::is_credible_mpp(slide.mpp))) {
        leave_out(slide, fmt::format("mpp \"{}\": {} to {} micrometres per pixel of level 0 are expected",
                                     printable(mpp, 80), wsi::kFinestMpp, wsi::kCoarsestMpp));
        continue;
      }
    }
    dataset.slides.push_back(std::move(slide));
  }
  check(!table.rows().empty(), "{}: no slides in it", csv.string());
  if (!with_features) find_files(dataset, base);
  return dataset;
}

}  // namespace mt::train
