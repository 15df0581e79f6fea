#pragma once
// Records in JSON files that are read again. Heavy: for .cc files only.

#include <cmath>
#include <nlohmann/json.hpp>

#include "tensor/check.h"
#include "train/run/record.h"

namespace mt::train {

/// NaN and infinities, which JSON has not, as texts: what is read is what was written, to the bit.
inline nlohmann::ordered_json to_json(const Fields& fields) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  for (const auto& [name, field] : fields) {
    std::visit(
        [&, &key = name]<typename T>(const T& value) {
          if constexpr (std::is_same_v<T, double>) {
            if (!std::isfinite(value)) {
              json[key] = std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
              return;
            }
          }
          json[key] = value;
        },
        field);
  }
  return json;
}

/// The plain members of a JSON object; null is NaN, arrays and objects are left out.
template <typename Json>
Fields fields_from(const Json& json) {
  Fields fields;
  for (const auto& [name, value] : json.items()) {
    if (value.is_boolean()) {
      fields.emplace_back(name, value.template get<bool>());
    } else if (value.is_number_integer()) {
      fields.emplace_back(name, value.template get<int64_t>());
    } else if (value.is_number()) {
      fields.emplace_back(name, value.template get<double>());
    } else if (value.is_string()) {
      fields.emplace_back(name, value.template get<std::string>());
    } else if (value.is_null()) {
      fields.emplace_back(name, std::nan(""));
    }
  }
  return fields;
}

}  // namespace mt::train
