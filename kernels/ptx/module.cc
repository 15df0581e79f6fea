#include "kernels/ptx/module.h"

#include <algorithm>
#include <cstring>

#include "kernels/ptx/memory.h"
#include "tensor/check.h"

namespace mt::ptx {

Module::Module(std::string text) : text_(parse_module(text)) {
  for (const Variable& variable : text_.variables) {
    if (variable.space != "global" && variable.space != "const") continue;
    check(!variable.is_extern, "PTX machine: .extern variable {} is not supported", variable.name);
    GlobalMemory& memory = GlobalMemory::instance();
    const auto bytes = static_cast<std::size_t>(variable.bytes);
    const uint64_t address =
        memory.allocate(bytes, variable.space == "const" ? state::kReadOnly : state::kWritten);
    check(address != 0, "PTX machine: no memory for variable {}", variable.name);
    if (!variable.initial.empty())
      std::memcpy(memory.at(address, bytes).data, variable.initial.data(), bytes);
    globals_.emplace_back(variable.name, address);
  }
}

const Kernel& Module::kernel(const std::string& name) {
  const std::lock_guard lock(mutex_);
  std::unique_ptr<Kernel>& kernel = kernels_[name];
  if (kernel == nullptr) {
    const auto entry = std::find_if(text_.entries.begin(), text_.entries.end(),
                                    [&](const Entry& candidate) { return candidate.name == name; });
    check(entry != text_.entries.end(), "PTX machine: no kernel {} in the program's PTX", name);
    kernel = std::make_unique<Kernel>(decode(*entry, {&text_, &globals_}));
  }
  return *kernel;
}

std::pair<uint64_t, std::size_t> Module::variable(const std::string& name) const {
  for (const auto& [symbol, address] : globals_) {
    if (symbol == name) return {address, GlobalMemory::instance().size_of(address)};
  }
  return {0, 0};
}

}  // namespace mt::ptx
