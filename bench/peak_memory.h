#pragma once
// The most memory that this process has held, as Linux counts it.

#include <cstdlib>
#include <fstream>
#include <string>

#include "tensor/check.h"

namespace mt::bench {

/// VmHWM of /proc/self/status, in GB of 10⁹ bytes.
inline double peak_resident_gb() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return 1024e-9 * std::atof(line.c_str() + std::string("VmHWM:").size());
  }
  fail("/proc/self/status has no VmHWM");
}

}  // namespace mt::bench
