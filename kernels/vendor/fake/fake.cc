#include "kernels/vendor/fake/fake.h"

namespace mt::vendor {

std::filesystem::path fake_module(const std::string& name) {
  return std::filesystem::path(MT_VENDOR_FAKES) / (name + ".so");
}

}  // namespace mt::vendor
