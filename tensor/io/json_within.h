#pragma once
// Parses JSON that may be hostile. Include it in .cc files only: the JSON library's header is heavy.

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace mt {

struct JsonLimits {
  /// The most that the document may take in memory.
  uint64_t bytes = uint64_t{64} << 20;
  int depth = 64;
  /// Whether a name that the outermost object has twice is an Error; else the last one counts.
  bool unique_names = false;
};

/// Goes over the text once to measure it, then parses it; in linear time. Throws Error naming `source` for
/// what is no JSON, nested too deeply, or larger than allowed.
nlohmann::json parse_json_within(std::string_view text, const JsonLimits& limits, const std::string& source);

}  // namespace mt
