#pragma once
// Where the modules are that tests load in place of microtome_vendor.so.

#include <filesystem>
#include <string>

namespace mt::vendor {

/// "fake_libraries" → its path in the build folder. There is no such file where the build has none.
std::filesystem::path fake_module(const std::string& name);

/// What the libraries of fake_libraries do; set by its function `set_fake_behaviour`.
enum class FakeBehaviour : uint8_t {
  computes,        // writes kFakeAnswer to the first element of the output
  does_not_start,  // the library's handle cannot be made
  has_nothing,     // no engine and no algorithm is proposed
  tensor_cores,    // the one engine proposed uses tensor cores
  fails,           // an engine and an algorithm are there, and fail when they run
};
inline constexpr float kFakeAnswer = 42;
inline constexpr const char* kFakeSetter = "set_fake_behaviour";
using FakeSetter = void (*)(FakeBehaviour behaviour);

}  // namespace mt::vendor
