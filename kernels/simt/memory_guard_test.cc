#include "kernels/simt/memory_guard.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "kernels/common/tables.h"
#include "kernels/device/device.h"
#include "kernels/softmax/softmax.h"
#include "tensor/check.h"
#include "tensor/sanitizers.h"
#include "tensor/tensor.h"

namespace mt {
namespace {

/// The guard on or off while it lives.
class Guard {
 public:
  explicit Guard(bool on) : before_(simt_machine::memory_guard_is_on()) {
    simt_machine::set_memory_guard(on);
  }
  ~Guard() { simt_machine::set_memory_guard(before_); }

 private:
  bool before_;
};

/// A tensor of the simt device with 1, 2, 3, 4 in it.
Tensor row_on_simt() {
  register_device_operations();
  const Tensor row = Tensor::empty({1, 4099}, DType::f32, Device::simt);  // a size that no other test keeps
  const std::vector<float> values{1, 2, 3, 4};
  copy_bytes(row.raw(), Device::simt, values.data(), Device::cpu, 4 * sizeof(float));
  return row;
}

TEST(SimtMemoryGuard, LetsCopiesAndKernelsIn) {
  const Guard guard(true);
  const Tensor row = row_on_simt();
  softmax<float>(Device::simt).forward(row.data<float>(), row.data<float>(), 1, 4, nullptr);
  float first = 0;
  copy_bytes(&first, Device::cpu, row.raw(), Device::simt, sizeof(first));
  EXPECT_NEAR(first, 0.0320586F, 1e-6F);
}

TEST(SimtMemoryGuardDeathTest, EndsTheProgramAtAReadOrWriteByTheHost) {
  if (kSanitized) GTEST_SKIP() << "the sanitizers have their own words for SIGSEGV";
  const Guard guard(true);
  const Tensor row = row_on_simt();
  volatile float* element = row.data<float>();
  EXPECT_EXIT([[maybe_unused]] const float read = *element, ::testing::KilledBySignal(SIGSEGV),
              "host code touched memory of the simt device");
  EXPECT_EXIT(*element = 1, ::testing::KilledBySignal(SIGSEGV), "outside of a launch or copy");
  const simt_machine::OpenMemory open;
  EXPECT_EQ(*element, 1.0F);  // nobody has written
}

TEST(SimtMemoryGuard, KernelsAreNotGivenTheHostsMemory) {
  const Tensor row = row_on_simt();
  std::vector<float> host(4);
  const Softmax<float>& kernels = softmax<float>(Device::simt);
  {
    const Guard guard(false);
    kernels.forward(row.data<float>(), host.data(), 1, 4, nullptr);  // nobody looks
  }
  const Guard guard(true);
  std::string message;
  try {
    kernels.forward(row.data<float>(), host.data(), 1, 4, nullptr);
  } catch (const Error& error) {
    message = error.what();
  }
  EXPECT_NE(message.find("softmax"), std::string::npos) << message;
  EXPECT_NE(message.find("an argument points to the host's memory"), std::string::npos) << message;
}

TEST(SimtMemoryGuard, HostViewsOfADeviceTensorAreErrors) {
  const Tensor one = Tensor::empty({1}, DType::f32, Device::simt);
  EXPECT_THROW(one.span<float>(), Error);
  EXPECT_THROW(one.item<float>(), Error);
}

}  // namespace
}  // namespace mt
