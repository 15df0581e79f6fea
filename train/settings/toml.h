#pragma once
// Settings on disk: TOML with one plain value a key.

#include <map>
#include <string>
#include <string_view>

namespace mt::train {

/// Text as a TOML string in quotes, whatever is in it. Throws UsageError when it is not UTF-8, which TOML
/// cannot hold.
std::string toml_string(std::string_view text);

/// The keys of a file and their values as text (true, 3, 0.5, a string without its quotes). Throws Error
/// naming file and line for what is no TOML, and for tables, arrays and dates.
std::map<std::string, std::string> read_toml(const std::string& path);

}  // namespace mt::train
