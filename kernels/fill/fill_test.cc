#include "kernels/fill/fill.h"

#include "tests/harness/kernel_test.h"

namespace mt {
namespace {

class FillTest : public testing::KernelTest {};

TEST_P(FillTest, EveryElementGetsTheBitsOfTheValue) {
  for (const int64_t n : {0, 1, 15, 16, 17, 100, 200001}) {
    for (const float value : {0.0F, -0.0F, 1.5F, NAN, -INFINITY, 1e-45F}) {
      testing::Buffer<float> y(n, device());
      fill<float>(device()).constant(y.data(), value, n, nullptr);
      testing::expect_same_bits(y.host(), std::vector<float>(static_cast<std::size_t>(n), value), "y");
    }
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
