#include "kernels/activation/activation_problems.h"
#include "tests/harness/golden.h"
#include "tests/harness/problem_test.h"
#include "tests/harness/reference_check.h"

namespace mt {
namespace {

using testing::Buffer;
using testing::widened;

MT_PROBLEM_TESTS(Activation, activation, activation_problems());

// Where float and double may differ without end: the limits at ±∞ and beyond the range of exp.
TEST_P(ActivationProblems, LimitsAreExact) {
  const std::vector<float> x{-INFINITY, -200, 0, 200, INFINITY};
  const auto y = [&](ActivationKind kind) {
    Buffer<float> in(x, device()), out(5, device());
    op().forward(kind, in.data(), out.data(), 5, nullptr);
    return out.host();
  };
  using V = std::vector<float>;
  EXPECT_EQ(y(ActivationKind::relu), (V{0, 0, 0, 200, INFINITY}));
  EXPECT_EQ(y(ActivationKind::tanh), (V{-1, -1, 0, 1, 1}));
  EXPECT_EQ(y(ActivationKind::sigmoid), (V{0, 0, 0.5F, 1, 1}));
  for (const ActivationKind kind :
       {ActivationKind::gelu_erf, ActivationKind::gelu_tanh, ActivationKind::silu}) {
    Buffer<float> saved(x, device()), dy({1, 1, 1, 1, 1}, device()), dx(5, device());
    op().backward(kind, saved.data(), dy.data(), dx.data(), 5, nullptr);
    const V slopes = dx.host();
    EXPECT_EQ((V{slopes[1], slopes[2], slopes[3]}), (V{0, 0.5F, 1})) << static_cast<int>(kind);
    EXPECT_EQ((V{y(kind)[1], y(kind)[3]}), (V{0, 200})) << static_cast<int>(kind);
  }
}

TEST(ActivationReferenceTest, AgreesWithGolden) {
  const auto x = widened(testing::golden_values<float>("layers.npz", "act_x"));
  const auto dy = widened(testing::golden_values<float>("layers.npz", "act_dy"));
  const auto n = static_cast<int64_t>(x.size());
  for (const auto& [kind, name] : {std::pair<ActivationKind, std::string>{ActivationKind::gelu_erf, "gelu"},
                                   {ActivationKind::gelu_tanh, "gelu_tanh"},
                                   {ActivationKind::silu, "silu"}}) {
    std::vector<double> y(x.size()), dx(x.size());
    activation<double>(Device::cpu).forward(kind, x.data(), y.data(), n, nullptr);
    activation<double>(Device::cpu).backward(kind, x.data(), dy.data(), dx.data(), n, nullptr);
    testing::expect_close(y, testing::golden_values<double>("layers.npz", name + "_y"), name + "_y");
    testing::expect_close(dx, testing::golden_values<double>("layers.npz", name + "_dx"), name + "_dx");
  }
}

}  // namespace
}  // namespace mt
