#include "kernels/common/tables.h"

#include "tensor/check.h"

namespace mt {
namespace {
KernelChoice chosen = KernelChoice::own;
}

void set_kernel_choice(KernelChoice choice) {
  chosen = choice;
}
KernelChoice kernel_choice() {
  return chosen;
}

void fail_no_table(const char* operation, Device device, std::string_view version) {
  fail("{}: this build has no {}{}{} version; use --device cpu", operation, name_of(device),
       version.empty() ? "" : " ", version);
}

}  // namespace mt
