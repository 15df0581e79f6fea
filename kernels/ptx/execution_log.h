#pragma once
// What ran: for `make verify-ptx`, which counts the kernels that no test launches.

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace mt::ptx {

/// MICROTOME_PTX_LOG names a file; at the end of the program a line per kernel is appended to it:
/// launches, warp instructions and seconds, separated by tabs, then the kernel's linked name. Kernels that
/// were never launched have 0, or the word "unknown" and the reason where the machine could not have run
/// them.
class ExecutionLog {
 public:
  static ExecutionLog& instance();
  void add_launch(const std::string& kernel, uint64_t instructions, double seconds);
  /// `never` are pairs of a kernel's name and why it could not run (empty: it could).
  void write(const std::vector<std::pair<std::string, std::string>>& never);
  bool is_wanted() const { return !path_.empty(); }
  bool has(const std::string& kernel);

 private:
  ExecutionLog();
  struct Sum {
    uint64_t launches = 0;
    uint64_t instructions = 0;
    double seconds = 0;
  };
  std::mutex mutex_;
  std::string path_;
  std::map<std::string, Sum> kernels_;
};

}  // namespace mt::ptx
