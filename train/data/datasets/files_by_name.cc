#include "train/data/datasets/files_by_name.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "tensor/check.h"
#include "train/data/datasets/slide_names.h"

namespace mt::train {

namespace fs = std::filesystem;

FilesByName::FilesByName(const fs::path& folder, int depth, Wanted wanted, const std::string& remedy,
                         fs::path without)
    : without_(std::move(without)) {
  const fs::path here = folder.empty() ? fs::path(".") : folder;
  check(fs::is_directory(here), "{}: this folder is not there; {}", here.string(), remedy);
  std::error_code error;
  const fs::directory_iterator readable(here, error);
  check(!error, "{}: this folder cannot be read ({}); {}", here.string(), error.message(), remedy);
  add_folder(here, depth, wanted);
}

void FilesByName::add_folder(const fs::path& folder, int depth, Wanted wanted) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    std::error_code ignored;
    if (entry.is_directory(ignored)) {
      const bool is_left_out = !without_.empty() && fs::equivalent(entry.path(), without_, ignored);
      if (depth > 0 && !is_left_out) add_folder(entry.path(), depth - 1, wanted);
      continue;
    }
    const std::string name = entry.path().filename().string();
    if (!wanted(name)) continue;
    const std::string plain = plain_name(name);
    by_name_.emplace(plain, entry.path());
    if (const std::size_t dot = plain.find('.'); dot != std::string::npos)
      by_first_part_.emplace(plain.substr(0, dot), entry.path());
  }
}

std::vector<fs::path> FilesByName::find(const std::string& id) const {
  const std::string plain = plain_name(id);
  std::vector<fs::path> files;
  for (const auto* names : {&by_name_, &by_first_part_}) {
    const auto [begin, end] = names->equal_range(plain);
    for (auto at = begin; at != end; ++at) files.push_back(at->second);
    if (!files.empty()) break;
  }
  const auto order = [](const fs::path& path) {
    return std::pair(std::distance(path.begin(), path.end()), path);
  };
  std::sort(files.begin(), files.end(),
            [&](const fs::path& a, const fs::path& b) { return order(a) < order(b); });
  return files;
}

std::vector<fs::path> FilesByName::all() const {
  std::vector<fs::path> files;
  for (const auto& [name, path] : by_name_) {
    if (!path.filename().string().starts_with('.')) files.push_back(path);
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace mt::train
