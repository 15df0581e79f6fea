#pragma once
// What the name of an annotation's group says about tumour, for the readers and writers of annotations.

#include <string>
#include <string_view>
#include <vector>

#include "tensor/text.h"
#include "wsi/annotation.h"

namespace mt::wsi {

/// The group of what a model marks on a slide that it calls negative. No reader takes it for tumour.
inline constexpr const char* kSuspicious = "Suspicious";

/// `ungrouped`: the outline says nothing of what it is; `left_out`: known not to matter.
enum class AnnotationRole { tumour, excluded, left_out, ungrouped, unknown };

/// By the rules that read_asap() states; `tumour_groups` are further names of tumour. No group at all is
/// called "None" too.
AnnotationRole role_of(std::string_view group, const std::vector<std::string>& tumour_groups);

/// The polygon's group, or `Tumor` or `Exclusion` where it has none.
std::string group_of(const Polygon& polygon);

}  // namespace mt::wsi
