#include "wsi/annotation_group.h"

#include <algorithm>

namespace mt::wsi {

AnnotationRole role_of(std::string_view group, const std::vector<std::string>& tumour_groups) {
  const std::string name = group.empty() ? "none" : lower_case(group);
  const bool chosen = std::any_of(tumour_groups.begin(), tumour_groups.end(),
                                  [&](const std::string& tumour) { return lower_case(tumour) == name; });
  if (chosen || name == "tumor" || name == "tumour" || name == "_0" || name == "_1")
    return AnnotationRole::tumour;
  if (name == "none") return AnnotationRole::ungrouped;
  if (name == "_2" || name == "exclusion" || name == "normal") return AnnotationRole::excluded;
  return tumour_groups.empty() ? AnnotationRole::unknown : AnnotationRole::left_out;
}

std::string group_of(const Polygon& polygon) {
  if (!polygon.group.empty()) return polygon.group;
  return polygon.excluded ? "Exclusion" : "Tumor";
}

}  // namespace mt::wsi
