#pragma once
// One file under two names: a copy of a training slide among the test slides makes figures too good.

#include <filesystem>
#include <vector>

namespace mt::train {

/// Indices of files that are the same: one file by several paths, or equal in size and in their first and
/// last 64 KiB. Each group has at least two, in order; files that cannot be read are in none.
std::vector<std::vector<std::size_t>> same_files(const std::vector<std::filesystem::path>& files);

}  // namespace mt::train
