#include "train/data/given_slides.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "tensor/check.h"
#include "tensor/io/csv.h"
#include "tensor/io/input_file.h"
#include "tensor/text.h"
#include "train/data/datasets/files_by_name.h"
#include "train/data/datasets/slide_names.h"
#include "train/data/feature_folder.h"

namespace mt::train {
namespace {

namespace fs = std::filesystem;

bool is_table_name(const fs::path& path) {
  const std::string ending = lower_case(path.extension().string());
  return ending == ".csv" || ending == ".tsv" || ending == ".txt";
}

/// DSMIL writes the features of a slide as .csv too: a table of slides has their names in its first line.
bool is_table_of_slides(const fs::path& path) {
  if (lower_case(path.extension().string()) != ".csv") return true;
  constexpr uint64_t kHead = uint64_t{1} << 20;
  const InputFile file(path.string());
  std::string head = file.read_at(0, std::min(file.size(), kHead), "the file");
  if (file.size() > kHead) head.erase(head.find_last_of('\n') + 1);
  CsvReader reader(head, path.string());
  CsvRow header;
  if (!reader.next(header)) return true;  // whoever reads it says that it is empty
  const CsvTable columns({header}, path.string());
  return columns.find_column({"slide_id", "slide"}) || is_dsmil_list(columns);
}

GivenSlide slide_of_file(const fs::path& path) {
  GivenSlide slide;
  slide.record.id = slide.record.case_id = slide_name_of(path.string());
  slide.record.path = path;
  slide.record.place = path.string();
  slide.problem = slide_id_problem(slide.record.id);
  if (!slide.problem.empty()) slide.problem = fmt::format("{}: {}", path.string(), slide.problem);
  return slide;
}

class Listing {
 public:
  explicit Listing(const GivenInputs& given) : given_(given), of_features_(!given.features_run.empty()) {}

  GivenSlides list() {
    if (!of_features_ && !given_.features.empty())
      throw UsageError(fmt::format(
          "--features {}: this run embeds slides itself, so give it slides (a run that train made with "
          "--features takes features)",
          given_.features[0]));
    bool has_table = false;
    for (const std::string& input : given_.inputs) {
      if (fs::is_directory(input)) {
        add_folder(input);
      } else if (is_table_name(input) && (!of_features_ || is_table_of_slides(input))) {
        has_table = true;
        add_table(input);
      } else {
        add_file(input);
      }
    }
    if (!has_table) {
      for (const std::string& features : given_.features) {
        if (fs::is_directory(features)) {
          add_folder(features);
        } else {
          add_file(features);
        }
      }
    }
    keep_each_once();
    return std::move(result_);
  }

 private:
  [[noreturn]] void refuse_slide(const std::string& path) const {
    throw UsageError(
        fmt::format("{}: is a slide, and {}; give the slide's features, made as those were, with "
                    "--features FILE or FOLDER",
                    path, given_.features_run));
  }

  void add_file(const std::string& path) {
    check(fs::exists(path) || is_slide_file(path) || is_feature_file(path),
          "{}: there is no such file or folder", path);
    if (of_features_ && is_slide_file(path)) refuse_slide(path);
    if (!of_features_ && is_feature_file(path) && !is_table_name(path))
      throw UsageError(fmt::format(
          "{}: holds features, and this run embeds slides itself; give it the slide (a run that train made "
          "with --features takes features)",
          path));
    result_.slides.push_back(slide_of_file(path));
    if (of_features_ && !fs::exists(path))
      result_.slides.back().problem = path + ": cannot be opened (No such file or directory)";
  }

  void add_folder(const std::string& path) {
    const FilesByName slides(path, 1, is_slide_file, "give slides, or folders of them", given_.out);
    std::vector<fs::path> files = slides.all();
    if (of_features_) {
      const FeatureFolder folder(path, given_.out);
      const std::vector<std::string> ids = folder.ids();
      if (ids.empty() && !files.empty()) refuse_slide(files[0].string());
      check(!ids.empty(),
            "{}: no features in it (looked for .h5, .hdf5, .pt, .pth, .safetensors and .csv, here and two "
            "folders below)",
            path);
      for (const std::string& id : ids) result_.slides.push_back(slide_with_features(folder, id));
      return;
    }
    const std::size_t all = files.size();
    std::erase_if(
        files, [](const fs::path& file) { return plain_name(file.filename().string()).ends_with("_mask"); });
    if (files.size() < all)
      result_.notes.push_back(fmt::format("{}: {} (*_mask.tif) left out: masks are no slides", path,
                                          counted(all - files.size(), "file")));
    check(!files.empty(), "{}: no slides in it (.svs, .tif, .tiff and so on, here and one folder below)",
          path);
    for (const fs::path& file : files) result_.slides.push_back(slide_of_file(file));
  }

  static GivenSlide slide_with_features(const FeatureFolder& folder, const std::string& id) {
    GivenSlide slide;
    slide.record.id = slide.record.case_id = id;
    slide.problem = slide_id_problem(id);
    if (slide.problem.empty()) find_features(folder, slide);
    return slide;
  }

  static void find_features(const FeatureFolder& folder, GivenSlide& slide) {
    try {
      slide.record.path = folder.file_of(slide.record.id);
    } catch (const Error& error) {
      slide.problem = error.what();
    }
  }

  void add_table(const std::string& path) {
    std::optional<FeatureFolder> folder;
    if (of_features_) {
      const bool is_folder = given_.features.size() == 1 && fs::is_directory(given_.features[0]);
      if (!is_folder)
        throw UsageError(
            fmt::format("{}: names slides, and {}; give the one folder of their features with --features",
                        path, given_.features_run));
      folder.emplace(given_.features[0], given_.out);
    }
    Dataset table = load_slide_csv(path, given_.root, of_features_, false);
    check(of_features_ || table.has_slides, "{}: is DSMIL's list of bags, which names no slides", path);
    for (SlideRecord& record : table.slides) {
      GivenSlide slide;
      slide.record = std::move(record);
      slide.record.annotation.clear();  // what somebody drew decides nothing here
      slide.problem = slide_id_problem(slide.record.id);
      if (!slide.problem.empty()) slide.problem = fmt::format("{}: {}", slide.record.place, slide.problem);
      if (slide.problem.empty() && folder) find_features(*folder, slide);
      result_.slides.push_back(std::move(slide));
    }
    for (const auto& [id, problem] : table.left_out) {
      GivenSlide slide;
      slide.record.id = id;
      slide.problem = problem;
      result_.slides.push_back(std::move(slide));
    }
    result_.notes.insert(result_.notes.end(), table.notes.begin(), table.notes.end());
  }

  /// The same file given twice is one slide. Two slides of one name would get the same results.
  void keep_each_once() {
    std::map<std::string, SlideRecord> first;
    std::string namesakes;
    std::erase_if(result_.slides, [&](const GivenSlide& slide) {
      const SlideRecord& record = slide.record;
      const auto [at, is_new] = first.emplace(record.id, record);
      if (is_new) return false;
      const SlideRecord& other = at->second;
      const auto place_of = [](const SlideRecord& s) { return s.path.empty() ? s.place : s.path.string(); };
      std::error_code error;
      const bool is_same = other.mpp == record.mpp &&
                           (fs::equivalent(other.path, record.path, error) || other.path == record.path);
      if (!is_same)
        namesakes += fmt::format("{}{} ({} and {})", namesakes.empty() ? "" : ", ", printable(record.id, 80),
                                 place_of(other), place_of(record));
      return true;
    });
    if (namesakes.empty()) return;
    throw UsageError(fmt::format(
        "two slides have one name, by which their results are called: {}; predict them into two folders "
        "(--out), or name them in a table (slide_id,path)",
        printable(namesakes, 2000)));
  }

  const GivenInputs& given_;
  bool of_features_;
  GivenSlides result_;
};

}  // namespace

GivenSlides given_slides(const GivenInputs& given) {
  return Listing(given).list();
}

}  // namespace mt::train
