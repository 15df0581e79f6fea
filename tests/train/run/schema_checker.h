#pragma once
// Checks a JSON value against a schema, by the few keywords that the schemas in docs/ use.

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

namespace mt::train {

class SchemaChecker {
 public:
  using Json = nlohmann::json;

  explicit SchemaChecker(Json schema, std::string root = "result")
      : schema_(std::move(schema)), root_(std::move(root)) {}

  /// Empty, or what is wrong first and where.
  std::string fault(const Json& value) const { return fault(schema_, value, root_); }

 private:
  static bool is_type(const Json& value, const std::string& type) {
    if (type == "object") return value.is_object();
    if (type == "array") return value.is_array();
    if (type == "string") return value.is_string();
    if (type == "boolean") return value.is_boolean();
    if (type == "null") return value.is_null();
    if (type == "integer") return value.is_number_integer();
    if (type == "number") return value.is_number();
    ADD_FAILURE() << "the schema asks for the unknown type " << type;
    return false;
  }

  std::string fault(const Json& rule, const Json& value, const std::string& place) const {
    for (const auto& [keyword, argument] : rule.items()) {
      const std::string found = fault_by(keyword, argument, rule, value, place);
      if (!found.empty()) return found;
    }
    return "";
  }

  std::string fault_by(const std::string& keyword, const Json& argument, const Json& rule, const Json& value,
                       const std::string& place) const {
    if (keyword == "$ref") {
      return fault(schema_.at("$defs").at(argument.get<std::string>().substr(8)), value, place);
    }
    if (keyword == "type") {
      bool fits = false;
      for (const Json& type : argument.is_array() ? argument : Json::array({argument}))
        fits |= is_type(value, type.get<std::string>());
      return fits ? "" : place + " is no " + argument.dump();
    }
    if (keyword == "const") return value == argument ? "" : place + " is not " + argument.dump();
    if (keyword == "enum") {
      const bool known = std::find(argument.begin(), argument.end(), value) != argument.end();
      return known ? "" : place + " is none of " + argument.dump();
    }
    if (keyword == "minimum") {
      return value.get<double>() >= argument.get<double>() ? "" : place + " is below " + argument.dump();
    }
    if (keyword == "minItems" || keyword == "maxItems") {
      const auto limit = argument.get<std::size_t>();
      const bool fits = keyword == "minItems" ? value.size() >= limit : value.size() <= limit;
      return fits ? "" : place + " has " + std::to_string(value.size()) + " items";
    }
    if (keyword == "required") {
      for (const Json& name : argument) {
        if (!value.contains(name.get<std::string>())) return place + " lacks " + name.get<std::string>();
      }
      return "";
    }
    if (keyword == "items") {
      for (std::size_t i = 0; i < value.size(); ++i) {
        const std::string found = fault(argument, value[i], place + "[" + std::to_string(i) + "]");
        if (!found.empty()) return found;
      }
      return "";
    }
    if (keyword == "properties") {
      for (const auto& [name, member_rule] : argument.items()) {
        if (!value.contains(name)) continue;
        const std::string found = fault(member_rule, value.at(name), place + "." + name);
        if (!found.empty()) return found;
      }
      return "";
    }
    if (keyword == "additionalProperties") {
      for (const auto& [name, member] : value.items()) {
        if (rule.contains("properties") && rule.at("properties").contains(name)) continue;
        if (argument == false) return place + " has the unknown member " + name;
        const std::string found = fault(argument, member, place + "." + name);
        if (!found.empty()) return found;
      }
      return "";
    }
    if (keyword != "$schema" && keyword != "$defs" && keyword != "title" && keyword != "description")
      ADD_FAILURE() << "the schema uses the keyword " << keyword << ", which this test does not check";
    return "";
  }

  Json schema_;
  std::string root_;  // what the whole value is called in faults
};

}  // namespace mt::train
