#include "train/settings/toml.h"

#include <fmt/format.h>

#include <toml++/toml.h>

#include "tensor/check.h"
#include "tensor/io/input_file.h"
#include "tensor/text.h"

namespace mt::train {
namespace {

constexpr uint64_t kMostBytes = uint64_t{1} << 20;

}  // namespace

std::string toml_string(std::string_view text) {
  if (!is_utf8(text)) {
    throw UsageError(
        fmt::format("\"{}\": is not UTF-8, so it cannot stand in config.toml; use another name, such as a "
                    "symbolic link's",
                    printable(text)));
  }
  std::string quoted = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else if (byte < 0x20 || byte == 0x7F) {
      quoted += fmt::format("\\u{:04x}", byte);
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

std::map<std::string, std::string> read_toml(const std::string& path) {
  std::map<std::string, std::string> values;
  toml::table table;
  try {
    table = toml::parse(read_file(path, kMostBytes), path);
  } catch (const toml::parse_error& error) {
    fail("{}, line {}: {}", path, error.source().begin.line, printable(error.description()));
  }
  for (const auto& [key, node] : table) {
    std::string& text = values[std::string(key.str())];
    if (const auto* string = node.as_string()) {
      text = string->get();
    } else if (const auto* integer = node.as_integer()) {
      text = std::to_string(integer->get());
    } else if (const auto* number = node.as_floating_point()) {
      text = fmt::format("{}", number->get());
    } else if (const auto* truth = node.as_boolean()) {
      text = truth->get() ? "true" : "false";
    } else {
      fail("{}, line {}: {}: one plain value expected", path, node.source().begin.line, printable(key.str()));
    }
  }
  return values;
}

}  // namespace mt::train
