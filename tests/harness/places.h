#pragma once
// Where a test finds the files and programs that it needs: around the test program, so that a build folder
// may be moved, and its programs packed for another machine (scripts/gpu_kit.py).

#include <fmt/format.h>

#include <filesystem>
#include <string>
#include <string_view>

#include "tensor/check.h"

namespace mt::testing {

/// `path` as a build folder has it ("train/train", "tests/golden"), in the nearest folder around this program
/// that has it.
inline std::string place_of(std::string_view path) {
  namespace fs = std::filesystem;
  fs::path folder = fs::read_symlink("/proc/self/exe");
  while (folder.has_relative_path()) {
    folder = folder.parent_path();
    std::error_code unreadable;
    if (fs::exists(folder / path, unreadable)) return (folder / path).string();
  }
  fail("{} is in no folder around this program: build it (ninja)", path);
}

/// tests/golden/`name`.
inline std::string golden_path(std::string_view name) {
  return fmt::format("{}/{}", place_of("tests/golden"), name);
}

}  // namespace mt::testing
