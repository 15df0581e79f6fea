#pragma once
// Records: structs whose members are named once, in a visit through which every file writes and reads them.
//
//   struct EpochRecord {
//     int64_t epoch = 0;
//     double loss = 0;
//     template <typename Self, typename Visitor>
//     static void visit(Self& self, Visitor&& visitor) {
//       visitor("epoch", self.epoch);
//       visitor("loss", self.loss);
//     }
//   };

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "train/settings/choices.h"

namespace mt::train {

using Field = std::variant<bool, int64_t, double, std::string>;
/// A record as files hold it: the members' names and values, in the order of its visit.
using Fields = std::vector<std::pair<std::string, Field>>;

/// The field of this name. Throws Error naming it when it is not there.
const Field& find_field(const Fields& fields, const std::string& name);

// A field into a member of this type; throws Error naming it when it is of another type.
void read_field(const std::string& name, const Field& field, bool& value);
void read_field(const std::string& name, const Field& field, int64_t& value);
/// Whole numbers are numbers, and "nan", "inf" and "-inf" are what JSON cannot write.
void read_field(const std::string& name, const Field& field, double& value);
void read_field(const std::string& name, const Field& field, std::string& value);
[[noreturn]] void fail_no_choice(const std::string& name, const std::string& text);

template <typename Record>
Fields fields_of(const Record& record) {
  Fields fields;
  Record::visit(record, [&]<typename T>(const char* name, const T& member) {
    if constexpr (IsChoice<T>) {
      fields.emplace_back(name, std::string(choice_name(member)));
    } else {
      fields.emplace_back(name, member);
    }
  });
  return fields;
}

/// Every member of the record from its field; further fields are ignored. Throws Error naming a field that is
/// missing or of another type.
template <typename Record>
Record record_of(const Fields& fields) {
  Record record;
  Record::visit(record, [&]<typename T>(const char* name, T& member) {
    const Field& field = find_field(fields, name);
    if constexpr (IsChoice<T>) {
      std::string text;
      read_field(name, field, text);
      const auto value = choice_of<T>(text);
      if (!value) fail_no_choice(name, text);
      member = *value;
    } else {
      read_field(name, field, member);
    }
  });
  return record;
}

/// The fields as members of a JSON object; null for NaN and infinities.
class JsonObject;
void add_fields(JsonObject& object, const Fields& fields);

}  // namespace mt::train
