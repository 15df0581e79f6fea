#include "kernels/pool/pool_problems.h"
#include "tests/harness/golden.h"
#include "tests/harness/problem_test.h"
#include "tests/harness/reference_check.h"

namespace mt {
namespace {

using testing::widened;

MT_PROBLEM_TESTS(Pool, pool, pool_problems());

// torch's MaxPool2d(3, 2, 1) on (2,3,11,10); in the second case many values are equal.
TEST(PoolReferenceTest, AgreesWithGoldenMaxPool) {
  for (const std::string name : {"maxpool", "maxpool_ties"}) {
    const auto load = [&](const char* part) {
      return widened(testing::golden_values<float>("layers.npz", name + part));
    };
    const auto x = testing::channels_last(load("_x"), 2, 3, 110);
    const auto dy = testing::channels_last(load("_dy"), 2, 3, 30);
    std::vector<double> y(180), dx(660);
    std::vector<uint8_t> argmax(180);
    pool<double>(Device::cpu)
        .max_forward(x.data(), y.data(), argmax.data(), 2, 11, 10, 3, {3, 2, 1}, nullptr);
    pool<double>(Device::cpu)
        .max_backward(dy.data(), argmax.data(), dx.data(), 2, 11, 10, 3, {3, 2, 1}, nullptr);
    const auto want_y = testing::golden_values<double>("layers.npz", name + "_y");
    const auto want_dx = testing::golden_values<double>("layers.npz", name + "_dx");
    EXPECT_EQ(y, testing::channels_last(want_y, 2, 3, 30));
    testing::expect_close(dx, testing::channels_last(want_dx, 2, 3, 110), name + " dx");
  }
}

}  // namespace
}  // namespace mt
