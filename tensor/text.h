#pragma once
// Text that comes from outside: is it UTF-8, and how does it look on a terminal?

#include <cstddef>
#include <string>
#include <string_view>

namespace mt {

/// Bytes of the UTF-8 character at the beginning of `text`, which is not empty; 0 where there is none.
std::size_t utf8_length(std::string_view text);
bool is_utf8(std::string_view text);
/// Whether a character as utf8_length() cuts it off is a control character (those of Latin-1, U+0080 to
/// U+009F, included).
bool is_control(std::string_view character);
/// The text in one line that commands no terminal: control characters and what is not UTF-8 as \xNN, and cut
/// with "…" behind `most_bytes`.
std::string printable(std::string_view text, std::size_t most_bytes = 400);

/// ASCII letters only.
std::string lower_case(std::string_view text);

}  // namespace mt
