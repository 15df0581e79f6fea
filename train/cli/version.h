#pragma once

#include <string>
#include <utility>
#include <vector>

namespace mt::train {

inline constexpr const char* kVersion = "0.1.0";

/// Commit of the source that was built, "-dirty" behind it where files were changed; "unknown" without a repository.
const char* source_commit();

/// Name and version of the compiler and of the libraries that decode slides and read or write a run's files.
std::vector<std::pair<std::string, std::string>> versions_built_with();

}  // namespace mt::train
