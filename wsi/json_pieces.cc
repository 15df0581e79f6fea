#include "wsi/json_pieces.h"

#include <algorithm>
#include <cstdint>

namespace mt::wsi {
namespace {

constexpr std::string_view kBlank = " \t\r\n";

std::size_t skip_blanks(std::string_view text, std::size_t at) {
  return std::min(text.find_first_not_of(kBlank, at), text.size());
}

/// Behind the closing quote of the string that begins at `at`.
std::size_t skip_string(std::string_view text, std::size_t at) {
  for (++at; at < text.size() && text[at] != '"'; ++at) {
    if (text[at] == '\\') ++at;
  }
  return std::min(at + 1, text.size());
}

/// Behind the value that begins at `at`, by its brackets alone.
std::size_t skip_value(std::string_view text, std::size_t at) {
  int64_t depth = 0;
  while (at < text.size()) {
    const char c = text[at];
    if (c == '"') {
      at = skip_string(text, at);
      continue;
    }
    if (depth == 0 && (c == ',' || c == ']' || c == '}')) return at;
    if (c == '[' || c == '{') ++depth;
    if (c == ']' || c == '}') --depth;
    ++at;
  }
  return at;
}

/// Where the list of the outermost object's member begins; npos when there is none.
std::size_t find_member_list(std::string_view text, std::size_t at, std::string_view name) {
  for (++at; at < text.size();) {
    at = skip_blanks(text, at);
    if (at >= text.size() || text[at] != '"') return std::string_view::npos;
    const std::size_t end = skip_string(text, at);
    const std::string_view key = text.substr(at, end - at);
    at = skip_blanks(text, end);
    if (at >= text.size() || text[at] != ':') return std::string_view::npos;
    at = skip_blanks(text, at + 1);
    const bool is_wanted = key.size() == name.size() + 2 && key.substr(1, name.size()) == name;
    if (is_wanted) return at < text.size() && text[at] == '[' ? at : std::string_view::npos;
    at = skip_blanks(text, skip_value(text, at));
    if (at >= text.size() || text[at] != ',') return std::string_view::npos;
    ++at;
  }
  return std::string_view::npos;
}

}  // namespace

JsonShell cut_json(std::string_view text, std::string_view name,
                   const std::function<void(std::string_view element)>& visit) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  const std::size_t root = skip_blanks(text, 0);
  std::size_t list = std::string_view::npos;
  if (root < text.size() && text[root] == '[') list = root;
  if (root < text.size() && text[root] == '{') list = find_member_list(text, root, name);
  if (list == std::string_view::npos) return {std::string(text), false};
  std::size_t at = skip_blanks(text, list + 1);
  while (at < text.size() && text[at] != ']') {
    const std::size_t end = skip_value(text, at);
    visit(text.substr(at, end - at));
    at = end;
    if (end >= text.size() || text[end] != ',') break;
    at = skip_blanks(text, end + 1);
    if (at < text.size() && text[at] == ']') visit({});  // a comma without an element
  }
  return {std::string(text.substr(0, list)) + "[" + std::string(text.substr(at)), true};
}

}  // namespace mt::wsi
