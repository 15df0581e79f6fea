#include "kernels/ptx/execution_log.h"

#include <cstdio>
#include <cstdlib>

#include "tensor/check.h"

namespace mt::ptx {

ExecutionLog& ExecutionLog::instance() {
  static auto* log = new ExecutionLog;  // written at exit
  return *log;
}

ExecutionLog::ExecutionLog() {
  if (const char* path = std::getenv("MICROTOME_PTX_LOG"); path != nullptr) path_ = path;
}

void ExecutionLog::add_launch(const std::string& kernel, uint64_t instructions, double seconds) {
  if (!is_wanted()) return;
  const std::lock_guard lock(mutex_);
  Sum& sum = kernels_[kernel];
  ++sum.launches;
  sum.instructions += instructions;
  sum.seconds += seconds;
}

bool ExecutionLog::has(const std::string& kernel) {
  const std::lock_guard lock(mutex_);
  return kernels_.contains(kernel);
}

void ExecutionLog::write(const std::vector<std::pair<std::string, std::string>>& never) {
  const std::lock_guard lock(mutex_);
  std::string lines;
  for (const auto& [name, sum] : kernels_)
    lines += fmt::format("{}\t{}\t{:.4f}\t{}\n", sum.launches, sum.instructions, sum.seconds, name);
  for (const auto& [name, reason] : never) {
    lines += reason.empty() ? fmt::format("0\t0\t0\t{}\n", name)
                            : fmt::format("unknown\t{}\t0\t{}\n", reason, name);
  }
  // One write: programs that end at the same time do not mix their lines.
  std::FILE* file = std::fopen(path_.c_str(), "a");
  const bool written = file != nullptr && std::fwrite(lines.data(), 1, lines.size(), file) == lines.size();
  if (file == nullptr || std::fclose(file) != 0 || !written)
    fmt::print(stderr, "PTX machine: cannot write MICROTOME_PTX_LOG={}\n", path_);
}

}  // namespace mt::ptx
