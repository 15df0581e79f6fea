#include "kernels/softmax/softmax_problems.h"
#include "tests/harness/golden.h"
#include "tests/harness/problem_test.h"
#include "tests/harness/reference_check.h"

namespace mt {
namespace {

MT_PROBLEM_TESTS(Softmax, softmax, softmax_problems());

// torch.softmax over the last dimension of (6,9) in float64.
TEST(SoftmaxReferenceTest, AgreesWithGolden) {
  const auto x = testing::widened(testing::golden_values<float>("layers.npz", "act_x"));
  const auto dy = testing::widened(testing::golden_values<float>("layers.npz", "act_dy"));
  std::vector<double> y(54), dx(54);
  softmax<double>(Device::cpu).forward(x.data(), y.data(), 6, 9, nullptr);
  softmax<double>(Device::cpu).backward(y.data(), dy.data(), dx.data(), 6, 9, nullptr);
  testing::expect_close(y, testing::golden_values<double>("layers.npz", "softmax_y"), "y");
  testing::expect_close(dx, testing::golden_values<double>("layers.npz", "softmax_dx"), "dx");
}

}  // namespace
}  // namespace mt
