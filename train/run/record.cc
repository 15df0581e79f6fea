#include "train/run/record.h"

#include <algorithm>
#include <limits>

#include "tensor/check.h"
#include "train/run/json_line.h"

namespace mt::train {
namespace {

template <typename T>
const T& held(const std::string& name, const Field& field, const char* what) {
  const T* value = std::get_if<T>(&field);
  check(value != nullptr, "record: {} is not {}", name, what);
  return *value;
}

}  // namespace

const Field& find_field(const Fields& fields, const std::string& name) {
  const auto found =
      std::find_if(fields.begin(), fields.end(), [&](const auto& field) { return field.first == name; });
  check(found != fields.end(), "record: {} is missing", name);
  return found->second;
}

void read_field(const std::string& name, const Field& field, bool& value) {
  value = held<bool>(name, field, "true or false");
}

void read_field(const std::string& name, const Field& field, int64_t& value) {
  value = held<int64_t>(name, field, "a whole number");
}

void read_field(const std::string& name, const Field& field, double& value) {
  if (const auto* text = std::get_if<std::string>(&field)) {
    check(*text == "nan" || *text == "inf" || *text == "-inf", "record: {} is not a number", name);
    value = *text == "nan" ? std::numeric_limits<double>::quiet_NaN()
                           : (*text == "inf" ? 1 : -1) * std::numeric_limits<double>::infinity();
  } else if (const auto* whole = std::get_if<int64_t>(&field)) {
    value = static_cast<double>(*whole);
  } else {
    value = held<double>(name, field, "a number");
  }
}

void read_field(const std::string& name, const Field& field, std::string& value) {
  value = held<std::string>(name, field, "a text");
}

void fail_no_choice(const std::string& name, const std::string& text) {
  fail("record: {} is {}, which is none of its values", name, text);
}

void add_fields(JsonObject& object, const Fields& fields) {
  for (const auto& [name, field] : fields) {
    std::visit([&, &key = name](const auto& value) { object.add(key, value); }, field);
  }
}

}  // namespace mt::train
