#pragma once
// JSON on the way out, without the heavy parser: one object at a time.

#include <cstdint>
#include <string>
#include <string_view>

namespace mt::train {

/// `text` with JSON's escapes, in quotes.
std::string json_string(std::string_view text);
/// Shortest decimal that reads back to the same double; null for NaN and infinities.
std::string json_number(double value);

/// Builds {"a": 1, "b": "x"} member by member.
class JsonObject {
 public:
  JsonObject& add(std::string_view name, std::string_view value) { return raw(name, json_string(value)); }
  JsonObject& add(std::string_view name, const char* value) { return raw(name, json_string(value)); }
  JsonObject& add(std::string_view name, const std::string& value) { return raw(name, json_string(value)); }
  JsonObject& add(std::string_view name, double value) { return raw(name, json_number(value)); }
  JsonObject& add(std::string_view name, int64_t value) { return raw(name, std::to_string(value)); }
  JsonObject& add(std::string_view name, int value) { return raw(name, std::to_string(value)); }
  JsonObject& add(std::string_view name, std::size_t value) { return raw(name, std::to_string(value)); }
  JsonObject& add(std::string_view name, bool value) { return raw(name, value ? "true" : "false"); }
  /// `json` is put in as it is: a nested object or array.
  JsonObject& raw(std::string_view name, std::string_view json);
  std::string str() const { return "{" + members_ + "}"; }

 private:
  std::string members_;
};

}  // namespace mt::train
