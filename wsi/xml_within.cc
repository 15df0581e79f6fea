#include "wsi/xml_within.h"

#include <algorithm>
#include <cstdint>

#include "tensor/check.h"

namespace mt::wsi {

void parse_xml_within(std::string_view text, const std::string& what, pugi::xml_document& document) {
  // Every element begins with a bracket, and every attribute has a sign of equality.
  constexpr uint64_t kNode = 64, kAttribute = 40, kAlwaysAllowed = uint64_t{16} << 20;
  const auto nodes = static_cast<uint64_t>(std::count(text.begin(), text.end(), '<'));
  const auto attributes = static_cast<uint64_t>(std::count(text.begin(), text.end(), '='));
  check(nodes * kNode + attributes * kAttribute <= 4 * text.size() + kAlwaysAllowed,
        "{}: has more elements than its size makes sense for", what);
  const pugi::xml_parse_result parsed = document.load_buffer(text.data(), text.size());
  check(static_cast<bool>(parsed), "{} ({} at byte {})", what, parsed.description(), parsed.offset);
}

}  // namespace mt::wsi
