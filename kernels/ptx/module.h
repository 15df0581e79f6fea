#pragma once
// A PTX text and its kernels.

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "kernels/ptx/instruction.h"
#include "kernels/ptx/statement.h"

namespace mt::ptx {

class Module {
 public:
  /// Reads declarations, places global and constant variables. Throws Error.
  explicit Module(std::string text);
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  /// Of .target: 90 for sm_90 and sm_90a.
  int architecture() const { return text_.architecture; }
  const std::vector<Entry>& entries() const { return text_.entries; }
  /// Decoded when first asked for. Throws Error for names that it does not have and for what the machine does
  /// not know.
  const Kernel& kernel(const std::string& name);
  /// Address and size of a global variable; {0, 0} for others.
  std::pair<uint64_t, std::size_t> variable(const std::string& name) const;

 private:
  std::mutex mutex_;
  ModuleText text_;
  std::vector<std::pair<std::string, uint64_t>> globals_;  // name, address
  std::map<std::string, std::unique_ptr<Kernel>> kernels_;
};

}  // namespace mt::ptx
