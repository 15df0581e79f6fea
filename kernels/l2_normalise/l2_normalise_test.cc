#include "kernels/l2_normalise/l2_normalise_problems.h"
#include "tests/harness/golden.h"
#include "tests/harness/problem_test.h"
#include "tests/harness/reference_check.h"

namespace mt {
namespace {

MT_PROBLEM_TESTS(L2Normalise, l2_normalise, l2_normalise_problems());

TEST(L2NormaliseReferenceTest, AgreesWithGolden) {
  const auto x = testing::widened(testing::golden_values<float>("layers.npz", "act_x"));  // (6,9)
  const auto dy = testing::widened(testing::golden_values<float>("layers.npz", "act_dy"));
  std::vector<double> y(54), norm(6), dx(54);
  l2_normalise<double>(Device::cpu).forward(x.data(), y.data(), norm.data(), 6, 9, kL2NormaliseEps, nullptr);
  l2_normalise<double>(Device::cpu)
      .backward(y.data(), norm.data(), dy.data(), dx.data(), 6, 9, kL2NormaliseEps, nullptr);
  testing::expect_close(y, testing::golden_values<double>("layers.npz", "normalize_y"), "y");
  testing::expect_close(dx, testing::golden_values<double>("layers.npz", "normalize_dx"), "dx");
}

}  // namespace
}  // namespace mt
