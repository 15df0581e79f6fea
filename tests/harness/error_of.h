#pragma once

#include <string>

#include "tensor/check.h"

namespace mt {

/// The text of the Error that `body` throws, or "no error".
template <typename Body>
std::string error_of(Body&& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

/// Whether `body` either succeeds or throws Error: what any damaged file must do.
template <typename Body>
bool survives(Body&& body) {
  try {
    body();
  } catch (const Error&) {
    return true;
  }
  return true;
}

}  // namespace mt
