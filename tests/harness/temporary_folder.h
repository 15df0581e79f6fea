#pragma once

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace mt {

/// A fresh folder that disappears with the object.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    // mkdtemp fills in the six letters.
    std::string pattern =
        (std::filesystem::temp_directory_path() / ("microtome-test-" + std::string(6, 'X'))).string();
    path_ = mkdtemp(pattern.data());
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }
  /// Writes a file here, without the care that write_file takes, and returns its path.
  std::string put(const std::string& name, std::string_view content) const {
    const std::string file = *this / name;
    std::ofstream(file, std::ios::binary).write(content.data(), static_cast<std::streamsize>(content.size()));
    return file;
  }

 private:
  std::string path_;
};

}  // namespace mt
