#pragma once
// Which tissue lies where, for datasets that know it: phantom sets do.

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace mt::train {

/// The commonest tissue of every cell of a grid over each slide.
class TissueTypes {
 public:
  /// Reads <root>/phantom/tissue_types.csv (slide,x_level0,y_level0,size_level0,tissue,…); nothing when it is
  /// not there. Throws Error naming file and line for a cell that is not on its slide's grid.
  static std::optional<TissueTypes> load(const std::filesystem::path& root);

  /// Names as people write them ("germinal centre"), in the order in which they first come.
  const std::vector<std::string>& names() const { return names_; }
  /// Index into names() of the tissue that covers most of the square [x, x + size) x [y, y + size) in level-0
  /// pixels; of two that cover the same the earlier name. Nothing where no cell is known.
  std::optional<std::size_t> at(const std::string& slide, int64_t x_level0, int64_t y_level0,
                                double size_level0) const;

 private:
  struct Grid {
    int64_t cell = 0;                                            // side in level-0 pixels
    std::map<std::pair<int64_t, int64_t>, std::size_t> tissues;  // by column and row
  };
  std::vector<std::string> names_;
  std::map<std::string, Grid> slides_;
};

}  // namespace mt::train
