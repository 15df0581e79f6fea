#include "train/data/feature_folder.h"

#include <algorithm>
#include <array>
#include <map>

#include "tensor/check.h"
#include "tensor/text.h"
#include "train/data/datasets/slide_names.h"

namespace mt::train {
namespace {

namespace fs = std::filesystem;

constexpr int kFoldersBelow = 2;
constexpr std::array<std::string_view, 6> kEndings = {".h5", ".hdf5", ".pt", ".pth", ".safetensors", ".csv"};

/// Place in kEndings; their number where the name has none of them.
std::size_t ending_rank(std::string_view name) {
  const std::string plain = lower_case(name);
  const auto* found = std::find_if(kEndings.begin(), kEndings.end(),
                                   [&](std::string_view ending) { return plain.ends_with(ending); });
  return static_cast<std::size_t>(found - kEndings.begin());
}

/// TRIDENT's slide_features_titan and the like hold one vector a slide, no bag; patches/ beside the features,
/// TRIDENT's and CLAM's, holds coordinates alone.
void leave_out_other_files(std::vector<fs::path>& files, const fs::path& folder) {
  std::erase_if(files, [&](const fs::path& file) {
    const std::string parent = file.parent_path().filename().string();
    return parent.starts_with("slide_features") ||
           (parent == "patches" && file.lexically_relative(folder).has_parent_path());
  });
}

}  // namespace

bool is_feature_file(std::string_view name) {
  return ending_rank(name) < kEndings.size();
}

FeatureFolder::FeatureFolder(fs::path folder, const fs::path& without)
    : folder_(std::move(folder)),
      files_(folder_, kFoldersBelow, is_feature_file, "give the folder of the features with --features",
             without) {}

std::vector<std::string> FeatureFolder::ids() const {
  std::vector<fs::path> files = files_.all();
  leave_out_other_files(files, folder_);
  const auto is_table = [](const fs::path& file) { return lower_case(file.extension().string()) == ".csv"; };
  if (!std::all_of(files.begin(), files.end(), is_table)) std::erase_if(files, is_table);
  std::map<std::string, std::string> names;
  for (const fs::path& file : files)
    names.emplace(plain_name(file.filename().string()), slide_name_of(file.string()));
  std::vector<std::string> ids;
  for (const auto& [plain, name] : names) ids.push_back(name);
  std::sort(ids.begin(), ids.end());
  return ids;
}

bool FeatureFolder::has(const std::string& id) const {
  std::vector<fs::path> files = files_.find(id);
  leave_out_other_files(files, folder_);
  return !files.empty();
}

fs::path FeatureFolder::file_of(const std::string& id) const {
  std::vector<fs::path> files = files_.find(id);
  leave_out_other_files(files, folder_);
  check(!files.empty(),
        "{}: no features of slide {} (looked for .h5, .hdf5, .pt, .pth, .safetensors and .csv, here and two "
        "folders below)",
        folder_.string(), printable(id, 80));
  const auto depth = [](const fs::path& path) { return std::distance(path.begin(), path.end()); };
  std::erase_if(files, [&, least = depth(files[0])](const fs::path& file) { return depth(file) > least; });
  const auto is_clams = [](const fs::path& file, const char* name) {
    return file.parent_path().filename() == name;
  };
  const bool has_both =
      std::any_of(files.begin(), files.end(), [&](const fs::path& f) { return is_clams(f, "h5_files"); });
  if (has_both) std::erase_if(files, [&](const fs::path& file) { return is_clams(file, "pt_files"); });
  std::stable_sort(files.begin(), files.end(), [](const fs::path& a, const fs::path& b) {
    return ending_rank(a.filename().string()) < ending_rank(b.filename().string());
  });
  const auto elsewhere = std::find_if(files.begin(), files.end(), [&](const fs::path& file) {
    return file.parent_path() != files[0].parent_path();
  });
  if (elsewhere != files.end()) {
    fail(
        "{}: two files have features of slide {}: {} and {}; give the one folder that is meant with "
        "--features",
        folder_.string(), printable(id, 80), std::min(files[0], *elsewhere).string(),
        std::max(files[0], *elsewhere).string());
  }
  return files[0];
}

}  // namespace mt::train
