#pragma once

namespace mt::train {

inline constexpr const char* kVersion = "0.1.0";

}  // namespace mt::train
