// What can be tested of the vendor's kernels without a GPU: that the module links, loads and has its tables,
// and who is chosen. On a machine with a GPU the tests of gemm and conv2d run the version "vendor".

#include "kernels/vendor/vendor.h"

#include <gtest/gtest.h>

#include "kernels/common/tables.h"
#include "tests/harness/error_of.h"

namespace mt {
namespace {

class VendorTest : public ::testing::Test {
 protected:
  void TearDown() override { set_kernel_choice(KernelChoice::own); }
  static bool in_build() { return find_device_table<Gemm<float>>(Device::cuda, kVendorVersion) != nullptr; }
};

TEST_F(VendorTest, ModuleLoadsAndHasItsTables) {
  if (!in_build()) GTEST_SKIP() << "cuBLASLt and cuDNN are not part of this build";
  const VendorTables& tables = vendor_tables();
  for (const Gemm<float>* gemm : {tables.gemm, tables.gemm_tf32}) EXPECT_NE(gemm->multiply, nullptr);
  for (const Conv2d<float>* conv2d : {tables.conv2d, tables.conv2d_tf32}) {
    EXPECT_NE(conv2d->forward, nullptr);
    EXPECT_NE(conv2d->backward_data, nullptr);
    EXPECT_NE(conv2d->backward_weights, nullptr);
    EXPECT_NE(conv2d->forward_fused, nullptr);
    EXPECT_NE(conv2d->forward_pixels, nullptr);
  }
}

TEST_F(VendorTest, ChoiceDecidesWhoComputesOnCuda) {
  if (!in_build()) GTEST_SKIP() << "cuBLASLt and cuDNN are not part of this build";
  const auto& vendor = *find_device_table<Gemm<float>>(Device::cuda, kVendorVersion);
  set_kernel_choice(KernelChoice::own);
  EXPECT_NE(&gemm<float>(Device::cuda), &vendor);
  set_kernel_choice(KernelChoice::vendor);
  EXPECT_EQ(&gemm<float>(Device::cuda), &vendor);
  set_kernel_choice(KernelChoice::automatic);
  EXPECT_EQ(&gemm<float>(Device::cuda), &vendor);
}

TEST_F(VendorTest, ChoiceLeavesOtherDevicesAlone) {
  const auto& own = gemm<float>(Device::cpu);
  set_kernel_choice(KernelChoice::vendor);
  EXPECT_EQ(&gemm<float>(Device::cpu), &own);
}

TEST_F(VendorTest, TheFlagIsCheckedAgainstTheDevice) {
  EXPECT_THROW(choose_kernels("best", Device::cuda), UsageError);
  EXPECT_THROW(choose_kernels("vendor", Device::cpu), UsageError);
  EXPECT_THROW(choose_kernels("vendor", Device::simt), UsageError);
  choose_kernels("auto", Device::cpu);
  EXPECT_EQ(kernel_choice(), KernelChoice::automatic);
  choose_kernels("own", Device::simt);
  EXPECT_EQ(kernel_choice(), KernelChoice::own);
}

TEST_F(VendorTest, WithoutTheLibrariesTheErrorSaysSo) {
  if (in_build()) GTEST_SKIP() << "this build has cuBLASLt and cuDNN";
  set_kernel_choice(KernelChoice::vendor);
  EXPECT_EQ(error_of([] { gemm<float>(Device::cuda); }),
            "gemm: this build has no cuda vendor version; use --device cpu");
  EXPECT_NE(error_of([] { vendor_tables(); }).find("use --kernels own"), std::string::npos);
}

}  // namespace
}  // namespace mt
