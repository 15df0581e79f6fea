#pragma once
// What the tests of matrix products and of convolutions share: versions, and their precision.

#include <string>

#include "kernels/device/device.h"
#include "tests/harness/kernel_test.h"

namespace mt::testing {

class ProductTest : public KernelTest {
 protected:
  void SetUp() override {
    KernelTest::SetUp();
    const std::string& version = GetParam().version;
    const bool needs_tensor_cores = version == "tf32" || version == "tf32x3" || version == "bf16";
    if (!IsSkipped() && device() == Device::cuda && needs_tensor_cores && !gpu_has_tensor_cores())
      GTEST_SKIP() << "tensor cores for " << version << " need sm_80";
  }

  /// NVIDIA's libraries choose precision and order of sums by themselves.
  bool is_vendor() const { return GetParam().version.starts_with(kVendorVersion); }

  /// `value`, an input, as the version rounds it: half of the precisions' last bit at 1 is lost.
  float rounded(float value) const {
    const std::string& version = GetParam().version;
    const float last_bit = version == "tf32" ? 0x1p-10F : version == "bf16" ? 0x1p-7F : 0;
    return value - 1 < last_bit / 2 ? 1 : value;
  }

  /// The bound of an element's error over the sum of its absolute terms (gemm.md): sums of float are γ_(terms
  /// + more_terms); `roundoffs` come on top.
  double relative_bound(int64_t terms, int64_t more_terms, double roundoffs = 0) const {
    std::string version = GetParam().version;
    // What the front door may take (kernels/gemm/product_choice.h); fp32, the other, stays below its bound.
    if (version.empty() && device() == Device::cuda && gpu_has_tensor_cores()) version = "tf32x3";
    const auto gamma = [](double count) { return count * kRoundoff / (1 - count * kRoundoff); };
    const double k = static_cast<double>(terms);
    if (version == "tf32" || version == "vendor_tf32")
      return 0x1p-10 + 0x1p-22 + gamma(2 * k + 5 + roundoffs);
    if (version == "bf16") return 0x1p-7 + 0x1p-16 + gamma(2 * k + 5 + roundoffs);
    if (version == "tf32x3") return gamma(6 * k + 16 + roundoffs);
    return gamma(k + static_cast<double>(more_terms) + roundoffs);
  }

 private:
  static bool gpu_has_tensor_cores() { return device_runtime(Device::cuda).architecture() >= 80; }
};

}  // namespace mt::testing
