// What a slide may be called: its id becomes part of file names, tensor names and pages.

#include <string_view>

#include "tensor/check.h"
#include "train/datasets/dataset.h"

namespace mt::train {
namespace {

constexpr std::size_t kMostBytes =
    200;  // file systems allow 255, endings and temporary names take their share

/// Bytes of the UTF-8 character at the beginning of `text`; 0 where there is none.
std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  const std::size_t length = first < 0x80 ? 1 : first >= 0xC2 && first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  if ((first >= 0x80 && first < 0xC2) || first > 0xF4 || length > text.size()) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0U) != 0x80) return 0;
  }
  if (length < 3) return length;
  const bool is_overlong = (first == 0xE0 && byte(1) < 0xA0) || (first == 0xF0 && byte(1) < 0x90);
  const bool is_surrogate = first == 0xED && byte(1) >= 0xA0;
  const bool is_beyond = first == 0xF4 && byte(1) >= 0x90;
  return is_overlong || is_surrogate || is_beyond ? 0 : length;
}

/// Control characters, those of the second half of Latin-1 (U+0080 to U+009F) included.
bool is_control(std::string_view character) {
  const auto first = static_cast<unsigned char>(character[0]);
  return first < 0x20 || first == 0x7F || (first == 0xC2 && static_cast<unsigned char>(character[1]) < 0xA0);
}

/// The id with everything that a terminal might take for a command as \xNN, and cut where it is very long.
std::string printable(std::string_view id) {
  std::string text;
  for (std::size_t i = 0; i < id.size();) {
    const std::size_t length = utf8_length(id.substr(i));
    if (text.size() > 80) return text + "…";
    if (length == 0 || is_control(id.substr(i, length))) {
      text += fmt::format("\\x{:02x}", static_cast<unsigned char>(id[i]));
      ++i;
    } else {
      text += id.substr(i, length);
      i += length;
    }
  }
  return text;
}

}  // namespace

std::string slide_id_problem(const std::string& id) {
  const auto problem = [&](std::string_view why) {
    return fmt::format("slide_id \"{}\": {}; give the slide another name", printable(id), why);
  };
  if (id.empty()) return problem("is empty");
  if (id.size() > kMostBytes)
    return problem(fmt::format("has {} bytes, more than {}", id.size(), kMostBytes));
  for (std::size_t i = 0; i < id.size();) {
    const std::size_t length = utf8_length(std::string_view(id).substr(i));
    if (length == 0) return problem("is not UTF-8");
    if (is_control(std::string_view(id).substr(i, length))) return problem("holds a control character");
    i += length;
  }
  if (id.find('/') != std::string::npos) return problem("holds a '/', and names a file of the run folder");
  if (id.starts_with('.')) return problem("begins with a dot");
  if (id == "__metadata__") return problem("is a word of the safetensors format");
  return {};
}

}  // namespace mt::train
