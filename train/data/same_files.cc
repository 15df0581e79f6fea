#include "train/data/same_files.h"

#include <algorithm>
#include <map>
#include <string>

#include "tensor/check.h"
#include "tensor/io/input_file.h"
#include "tensor/io/sha256.h"

namespace mt::train {
namespace {

namespace fs = std::filesystem;

/// Hash of what a file begins and ends with. Throws Error when it cannot be read.
std::string ends_of(const fs::path& path) {
  constexpr uint64_t kEnd = 64 << 10;
  const InputFile file(path.string());
  const uint64_t part = std::min(file.size(), kEnd);
  return sha256(file.read_at(0, part, "the file") + file.read_at(file.size() - part, part, "the file"));
}

}  // namespace

std::vector<std::vector<std::size_t>> same_files(const std::vector<fs::path>& files) {
  std::map<uintmax_t, std::vector<std::size_t>> by_size;
  for (std::size_t i = 0; i < files.size(); ++i) {
    std::error_code error;
    const uintmax_t bytes = fs::is_regular_file(files[i], error) ? fs::file_size(files[i], error) : 0;
    if (!error && bytes > 0) by_size[bytes].push_back(i);
  }
  std::vector<std::vector<std::size_t>> groups;
  for (const auto& [bytes, members] : by_size) {
    if (members.size() < 2) continue;
    std::map<std::string, std::vector<std::size_t>> by_content;
    for (const std::size_t member : members) {
      try {
        by_content[ends_of(files[member])].push_back(member);
      } catch (const Error&) {  // whoever opens it in earnest says why
      }
    }
    for (auto& [content, same] : by_content) {
      if (same.size() > 1) groups.push_back(std::move(same));
    }
  }
  std::sort(groups.begin(), groups.end());
  return groups;
}

}  // namespace mt::train
