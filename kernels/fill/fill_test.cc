#include "kernels/fill/fill.h"

#include <algorithm>

#include "tests/harness/kernel_test.h"

namespace mt {
namespace {

class FillTest : public testing::KernelTest {
 protected:
  const Fill<float>& op() const { return version_of(fill<float>(device())); }
};

void expect_filled(const Fill<float>& op, Device device, int64_t n) {
  for (const float value : {0.0F, -0.0F, 1.5F, NAN, -INFINITY, 1e-45F}) {
    testing::Buffer<float> y(n, device);
    op.constant(y.data(), value, n, nullptr);
    testing::expect_same_bits(y.host(), std::vector<float>(static_cast<std::size_t>(n), value), "y");
  }
}

// Around 16 lanes; a block's 2,048 elements and a tail.
TEST_P(FillTest, EveryElementGetsTheBitsOfTheValue) {
  for (const int64_t n : {0, 1, 15, 16, 17, 100, 2051}) expect_filled(op(), device(), n);
}

TEST_P(FillTest, LargeArrays) {
  if (skips_large_case()) return;
  expect_filled(op(), device(), 200001);
}

TEST_P(FillTest, AnyAlignment) {
  for (const int64_t offset : {1, 2, 3}) {
    testing::Buffer<float> y(std::vector<float>(43, 1), device());
    op().constant(y.data() + offset, 2, 40, nullptr);
    std::vector<float> want(43, 1);
    std::fill_n(want.begin() + offset, 40, 2.0F);
    EXPECT_EQ(y.host(), want) << offset;
  }
}

TEST(FillReferenceTest, FillsExactlyNElements) {
  std::vector<double> y(5, 1.0);
  fill<double>(Device::cpu).constant(y.data() + 1, -2.5, 3, nullptr);
  EXPECT_EQ(y, (std::vector<double>{1, -2.5, -2.5, -2.5, 1}));
}

MT_ON_EVERY_DEVICE(FillTest, Fill<float>);

}  // namespace
}  // namespace mt
