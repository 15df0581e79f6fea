#include "kernels/bce/bce_problems.h"
#include "tests/harness/golden.h"
#include "tests/harness/problem_test.h"
#include "tests/harness/reference_check.h"

namespace mt {
namespace {

using testing::Buffer;

MT_PROBLEM_TESTS(Bce, bce, bce_problems());

TEST_P(BceProblems, TheLossIsTheSameWithSlopesAndWithout) {
  for (const int64_t n : {1, 130, 5000}) {
    Buffer<float> x(problem_values(n, 3, -10, 10), device()), y(bce_targets(n, 4), device());
    Buffer<float> with(1, device()), without(1, device()), slopes(n, device());
    op().mean_with_slopes(x.data(), y.data(), 2.5, with.data(), slopes.data(), n, nullptr);
    op().mean_forward(x.data(), y.data(), 2.5, without.data(), n, nullptr);
    testing::expect_same_bits(with.host(), without.host(), "loss");
  }
}

TEST_P(BceProblems, HugeAndInfiniteLogits) {
  const auto loss_and_slope = [&](float x, float y) {
    Buffer<float> logit(std::vector<float>{x}, device()), target(std::vector<float>{y}, device());
    Buffer<float> loss(1, device()), slope(1, device());
    op().mean_with_slopes(logit.data(), target.data(), 1, loss.data(), slope.data(), 1, nullptr);
    return std::pair{loss.host()[0], slope.host()[0]};
  };
  EXPECT_EQ(loss_and_slope(3e38F, 1), (std::pair{0.0F, 0.0F}));
  EXPECT_EQ(loss_and_slope(-3e38F, 1), (std::pair{3e38F, -1.0F}));
  EXPECT_TRUE(std::isnan(loss_and_slope(INFINITY, 1).first));
  EXPECT_TRUE(std::isnan(loss_and_slope(-INFINITY, 0).second));
}

TEST(BceGoldenTest, LossesAndGradientOfTheMean) {
  const std::string file = "bce_pos_weight.npz";
  const auto x = testing::widened(testing::golden_values<float>(file, "bce_logits"));
  const auto y = testing::widened(testing::golden_values<float>(file, "bce_y"));
  const auto n = static_cast<int64_t>(x.size());
  const auto& op = bce<double>(Device::cpu);
  for (const auto& [name, weight] :
       {std::pair{"None", 1.0}, {"1.0", 1.0}, {"1.75", 1.75}, {"0.2", 0.2}, {"37.5", 37.5}}) {
    std::vector<double> losses(x.size()), slopes(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) {  // the mean of one
      op.mean_forward(x.data() + i, y.data() + i, weight, losses.data() + i, 1, nullptr);
    }
    double mean = 0;
    const double one = 1;
    op.mean_with_slopes(x.data(), y.data(), weight, &mean, slopes.data(), n, nullptr);
    op.mean_slopes_backward(slopes.data(), &one, slopes.data(), n, nullptr);
    const std::string prefix = std::string("bce_pw") + name;
    testing::expect_close(losses, testing::golden_values<double>(file, prefix + "_each_f64"), prefix);
    testing::expect_close(slopes, testing::golden_values<double>(file, prefix + "_grad_mean_f64"),
                          prefix + " gradient");
  }
}

}  // namespace
}  // namespace mt
