#include "train/data/datasets/tissue_types.h"

#include <algorithm>
#include <cmath>

#include "tensor/check.h"
#include "tensor/io/csv.h"

namespace mt::train {

std::optional<TissueTypes> TissueTypes::load(const std::filesystem::path& root) {
  const std::filesystem::path path = root / "phantom" / "tissue_types.csv";
  if (!std::filesystem::exists(path)) return std::nullopt;
  const CsvTable table = read_csv(path.string());
  const std::size_t slide = table.column("slide");
  const std::size_t x = table.column("x_level0");
  const std::size_t y = table.column("y_level0");
  const std::size_t size = table.column("size_level0");
  const std::size_t tissue = table.column("tissue");
  TissueTypes types;
  for (const CsvRow& row : table.rows()) {
    const auto whole = [&](std::size_t column) {
      return static_cast<int64_t>(csv_number(row, column, table.source()));
    };
    Grid& grid = types.slides_[row.fields[slide]];
    if (grid.cell == 0) grid.cell = whole(size);
    check(grid.cell > 0 && whole(size) == grid.cell && whole(x) % grid.cell == 0 && whole(y) % grid.cell == 0,
          "{}, line {}: cell ({}, {}) of {} pixels is not on the slide's grid of {}", table.source(),
          row.line, whole(x), whole(y), whole(size), grid.cell);
    std::string name = row.fields[tissue];
    std::replace(name.begin(), name.end(), '_', ' ');
    const auto known = std::find(types.names_.begin(), types.names_.end(), name);
    grid.tissues[{whole(x) / grid.cell, whole(y) / grid.cell}] =
        static_cast<std::size_t>(known - types.names_.begin());
    if (known == types.names_.end()) types.names_.push_back(std::move(name));
  }
  return types;
}

std::optional<std::size_t> TissueTypes::at(const std::string& slide, int64_t x_level0, int64_t y_level0,
                                           double size_level0) const {
  const auto found = slides_.find(slide);
  if (found == slides_.end()) return std::nullopt;
  const Grid& grid = found->second;
  const auto side = static_cast<double>(grid.cell);
  const auto begin = [&](int64_t place) {
    return static_cast<int64_t>(std::floor(static_cast<double>(place) / side));
  };
  const auto end = [&](int64_t place) {
    return static_cast<int64_t>(std::ceil((static_cast<double>(place) + size_level0) / side));
  };
  /// Level-0 pixels of the patch that lie in cell number `cell` of one axis.
  const auto overlap = [&](int64_t place, int64_t cell) {
    const auto low = static_cast<double>(place);
    const double cell_low = static_cast<double>(cell) * side;
    return std::min(low + size_level0, cell_low + side) - std::max(low, cell_low);
  };
  std::vector<double> areas(names_.size());
  for (int64_t row = begin(y_level0); row < end(y_level0); ++row) {
    for (int64_t column = begin(x_level0); column < end(x_level0); ++column) {
      const auto tissue = grid.tissues.find({column, row});
      if (tissue != grid.tissues.end())
        areas[tissue->second] += overlap(x_level0, column) * overlap(y_level0, row);
    }
  }
  const auto most = std::max_element(areas.begin(), areas.end());
  if (most == areas.end() || *most <= 0) return std::nullopt;
  return static_cast<std::size_t>(most - areas.begin());
}

}  // namespace mt::train
