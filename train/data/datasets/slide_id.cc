// What a slide may be called: its id becomes part of file names, tensor names and pages.

#include <string_view>

#include "tensor/check.h"
#include "tensor/text.h"
#include "train/data/datasets/dataset.h"

namespace mt::train {
namespace {

constexpr std::size_t kMostBytes =
    200;  // file systems allow 255, endings and temporary names take their share

}  // namespace

std::string slide_id_problem(const std::string& id) {
  const auto problem = [&](std::string_view why) {
    return fmt::format("slide_id \"{}\": {}; give the slide another name", printable(id, 80), why);
  };
  if (id.empty()) return problem("is empty");
  if (id.size() > kMostBytes)
    return problem(fmt::format("has {} bytes, more than {}", id.size(), kMostBytes));
  if (!is_utf8(id)) return problem("is not UTF-8");
  for (std::string_view rest = id; !rest.empty(); rest.remove_prefix(utf8_length(rest))) {
    if (is_control(rest.substr(0, utf8_length(rest)))) return problem("holds a control character");
  }
  if (id.find('/') != std::string::npos) return problem("holds a '/', and names a file of the run folder");
  if (id.starts_with('.')) return problem("begins with a dot");
  if (id == "__metadata__") return problem("is a word of the safetensors format");
  return {};
}

}  // namespace mt::train
