#pragma once
// Parses XML that may be hostile. Include it in .cc files only.

#include <pugixml.hpp>
#include <string>
#include <string_view>

namespace mt::wsi {

/// Fills `document`. Throws Error, beginning with `what`, for what is no XML, and for what would take more
/// memory than the text that people write: pugixml makes 64 bytes of an element that has 4.
void parse_xml_within(std::string_view text, const std::string& what, pugi::xml_document& document);

}  // namespace mt::wsi
