#pragma once
// Files of a folder by what they are called, for tables that name slides and no files (CLAM's), and for
// folders of features.

#include <cstddef>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace mt::train {

class FilesByName {
 public:
  using Wanted = bool (*)(std::string_view file_name);
  /// Lists the files of `folder`, and of those in it down to `depth` folders below, for which wanted(name).
  /// Throws Error that ends in `remedy` when the folder is not there. The folder `without` among them is left
  /// out.
  FilesByName(const std::filesystem::path& folder, int depth, Wanted wanted, const std::string& remedy,
              std::filesystem::path without = {});

  /// Every file whose plain name (see slide_names.h) is that of `id`; where there is none, those of which it
  /// is the part before the first dot, as of TCGA's files ("TCGA-….DX1.<uuid>.svs"). Those in the fewest
  /// folders come first, then by path.
  std::vector<std::filesystem::path> find(const std::string& id) const;
  /// Every file but those whose name begins with a dot, by path.
  std::vector<std::filesystem::path> all() const;

 private:
  std::filesystem::path without_;
  void add_folder(const std::filesystem::path& folder, int depth, Wanted wanted);

  std::multimap<std::string, std::filesystem::path> by_name_;
  std::multimap<std::string, std::filesystem::path> by_first_part_;
};

}  // namespace mt::train
