#pragma once
// What other tables and files call a slide: with an ending, as a number of pandas, in another case.

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "train/data/datasets/dataset.h"

namespace mt::train {

/// Whether a file called so may be a slide (".svs", ".tif", ".NDPI", …).
bool is_slide_file(std::string_view name);

/// A name as it is compared: no folders, no endings of slides and feature files, no ".0" behind a number,
/// lower case.
std::string plain_name(std::string_view name);

/// What the slide of a file is called: the file's name without folders and endings ("a.svs.h5" and "a.ome.tif"
/// are of a), in its own case.
std::string slide_name_of(const std::string& file);

/// "a, b, c and 12 more"
std::string listed(const std::vector<std::string>& names, std::size_t most = 10);

/// "1 slide", "12 slides"
std::string counted(std::size_t count, const char* what);

/// Slides by their names.
class SlideNames {
 public:
  explicit SlideNames(const std::vector<SlideRecord>& slides);
  /// Index of the slide called so: exactly, or else the only one whose plain name is the same.
  std::optional<std::size_t> find(const std::string& name) const;

 private:
  static constexpr std::size_t kSeveral = static_cast<std::size_t>(-1);
  std::map<std::string, std::size_t> exact_;
  std::map<std::string, std::size_t> plain_;
};

}  // namespace mt::train
