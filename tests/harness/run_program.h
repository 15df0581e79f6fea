#pragma once
// Runs one of our programs as a child process, as a person would.

#include <csignal>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace mt {

struct ProgramOptions {
  std::vector<std::pair<std::string, std::string>> environment;  // added to ours
  /// Writing beyond this size of a file fails, as on a full disk (EFBIG in place of ENOSPC).
  std::optional<uint64_t> file_bytes;
  std::optional<uint64_t> address_space;  // bytes of virtual memory
  /// Asked about every millisecond with the seconds since the start; the first true sends `kill_signal`.
  std::function<bool(double)> kill_when;
  int kill_signal = SIGKILL;
  /// Seconds, for what hangs and not for what is slow; then it gets SIGKILL and `timed_out` is set.
  double timeout = 1200;
};

struct ProgramResult {
  int exit_code = -1;  // -1: ended by a signal
  int signal = 0;
  bool timed_out = false;
  double seconds = 0;
  std::string out;
  std::string err;
  /// Everything about it, for a test's failure message.
  std::string str() const;
};

/// `command[0]` is the program's path.
ProgramResult run_program(const std::vector<std::string>& command, const ProgramOptions& options = {});

}  // namespace mt
