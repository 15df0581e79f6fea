#include "kernels/vendor/fake/fake.h"

#include "tests/harness/places.h"

namespace mt::vendor {

std::filesystem::path fake_module(const std::string& name) {
  return testing::find_place("kernels/vendor/fake/" + name + ".so");
}

}  // namespace mt::vendor
