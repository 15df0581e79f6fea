#include "kernels/bce/bce.h"

#include "tests/harness/error_of.h"
#include "tests/harness/golden.h"
#include "tests/harness/kernel_test.h"
#include "tests/harness/reference_check.h"

namespace mt {
namespace {

using testing::Buffer;

constexpr double kU = testing::kRoundoff;

double sigmoid(double x) {
  return 1 / (1 + std::exp(-x));
}

struct Inputs {
  std::vector<float> x, y;
};

Inputs inputs(int64_t n, float range, uint64_t seed) {
  Inputs in{testing::uniform_values(n, seed, -range, range), testing::uniform_values(n, seed + 1, 0, 1)};
  for (std::size_t i = 0; i < in.y.size(); ++i) {
    if (i % 3 != 0) in.y[i] = i % 3 == 1 ? 1.0F : 0.0F;  // most targets are hard
  }
  return in;
}

class BceTest : public testing::KernelTest {
 protected:
  const Bce<float>& op() const { return version_of(bce<float>(device())); }

  void expect_agreement(const Inputs& in, double pos_weight, const std::string& what) {
    const int64_t n = static_cast<int64_t>(in.x.size());
    const auto x64 = testing::widened(in.x);
    const auto y64 = testing::widened(in.y);
    const auto upstream = testing::uniform_values(n, 99);
    std::vector<double> losses(in.x.size()), slopes(in.x.size());
    bce<double>(Device::cpu).forward(x64.data(), y64.data(), pos_weight, losses.data(), n, nullptr);
    bce<double>(Device::cpu)
        .backward(x64.data(), y64.data(), pos_weight, testing::widened(upstream).data(), slopes.data(), n,
                  nullptr);
    Buffer<float> x(in.x, device()), y(in.y, device()), dlosses(upstream, device());
    Buffer<float> out(n, device()), dx(n, device());
    op().forward(x.data(), y.data(), pos_weight, out.data(), n, nullptr);
    op().backward(x.data(), y.data(), pos_weight, dlosses.data(), dx.data(), n, nullptr);
    // bce.md; 2^-126 (1 + w) for what lies below float's normal range.
    const double floor = 0x1p-126 * (1 + pos_weight);
    testing::expect_within(
        out.host(), losses, [&](std::size_t i) { return 12 * kU * losses[i] + floor; }, what);
    const auto slope_bound = [&](std::size_t i) {
      const double terms = (1 - y64[i]) * sigmoid(x64[i]) + pos_weight * y64[i] * sigmoid(-x64[i]);
      return 12 * kU * terms * std::abs(static_cast<double>(upstream[i])) + floor;
    };
    testing::expect_within(dx.host(), slopes, slope_bound, what + " slope");
  }
};

TEST_P(BceTest, AgreesWithReference) {
  for (const int64_t n : {0, 1, 15, 16, 17, 1000, 4097}) {
    for (const double pos_weight : {1.0, 1.75, 0.2}) {
      for (const float range : {1.0F, 20.0F, 100.0F}) {
        expect_agreement(inputs(n, range, 3), pos_weight,
                         fmt::format("n {}, weight {}, range {}", n, pos_weight, range));
      }
    }
  }
}

TEST_P(BceTest, MeanAgreesWithReference) {
  for (const int64_t n : {1, 17, 4096, 4097, 20000}) {
    const Inputs in = inputs(n, 10, 5);
    const auto x64 = testing::widened(in.x);
    const auto y64 = testing::widened(in.y);
    double want = 0;
    bce<double>(Device::cpu).mean_forward(x64.data(), y64.data(), 2.5, &want, n, nullptr);
    std::vector<double> slopes(in.x.size());
    const double one_half = 0.5;
    bce<double>(Device::cpu).mean_backward(x64.data(), y64.data(), 2.5, &one_half, slopes.data(), n, nullptr);
    Buffer<float> x(in.x, device()), y(in.y, device()), loss(1, device()), dx(n, device());
    Buffer<float> dloss(std::vector<float>{0.5F}, device());
    op().mean_forward(x.data(), y.data(), 2.5, loss.data(), n, nullptr);
    op().mean_backward(x.data(), y.data(), 2.5, dloss.data(), dx.data(), n, nullptr);
    testing::expect_relative(loss.host(), std::vector<double>{want},
                             20 + static_cast<double>(std::min<int64_t>(n / 16, 256)), "mean");
    testing::expect_within(
        dx.host(), slopes,
        [&](std::size_t i) {
          const double terms = (1 - y64[i]) * sigmoid(x64[i]) + 2.5 * y64[i] * sigmoid(-x64[i]);
          return 14 * kU * terms * 0.5 / static_cast<double>(n) + 0x1p-126;
        },
        "slope of the mean");
  }
}

TEST_P(BceTest, MeanWithGradientHasTheBitsOfForwardAndBackward) {
  for (const int64_t n : {1, 2, 3, 130, 5000}) {  // one block of the GPU's, and three
    const Inputs in = inputs(n, 10, 17);
    Buffer<float> x(in.x, device()), y(in.y, device()), dloss(std::vector<float>{0.7F}, device());
    Buffer<float> loss(1, device()), dx(n, device()), loss_alone(1, device()), dx_alone(n, device());
    Buffer<float> ones(std::vector<float>(in.x.size(), 1.0F), device()), slopes_alone(n, device());
    op().mean_forward(x.data(), y.data(), 2.5, loss_alone.data(), n, nullptr);
    op().mean_backward(x.data(), y.data(), 2.5, dloss.data(), dx_alone.data(), n, nullptr);
    op().backward(x.data(), y.data(), 2.5, ones.data(), slopes_alone.data(), n, nullptr);

    op().mean_with_gradient(x.data(), y.data(), 2.5, dloss.data(), loss.data(), dx.data(), n, nullptr);
    testing::expect_same_bits(loss.host(), loss_alone.host(), fmt::format("loss of {}", n));
    testing::expect_same_bits(dx.host(), dx_alone.host(), fmt::format("gradient of {}", n));

    Buffer<float> late_loss(1, device());
    op().mean_with_gradient(x.data(), y.data(), 2.5, nullptr, late_loss.data(), x.data(), n, nullptr);
    testing::expect_same_bits(late_loss.host(), loss_alone.host(), fmt::format("loss before dloss, {}", n));
    testing::expect_same_bits(x.host(), slopes_alone.host(), fmt::format("slopes of {} in place", n));
    op().mean_slopes_backward(x.data(), dloss.data(), x.data(), n, nullptr);
    testing::expect_same_bits(x.host(), dx_alone.host(), fmt::format("gradient from slopes, {}", n));
  }
}

TEST_P(BceTest, HugeLogitsStayFinite) {
  Buffer<float> x(std::vector<float>{3e38F, -3e38F, 3e38F, -3e38F}, device());
  Buffer<float> y(std::vector<float>{1, 1, 0, 0}, device());
  Buffer<float> losses(4, device()), dlosses(std::vector<float>(4, 1.0F), device()), dx(4, device());
  op().forward(x.data(), y.data(), 1, losses.data(), 4, nullptr);
  op().backward(x.data(), y.data(), 1, dlosses.data(), dx.data(), 4, nullptr);
  EXPECT_EQ(losses.host(), (std::vector<float>{0, 3e38F, 3e38F, 0}));
  EXPECT_EQ(dx.host(), (std::vector<float>{0, -1, 1, 0}));
}

TEST_P(BceTest, NanGoesIntoItsLossAndGradient) {
  Buffer<float> x(std::vector<float>{1, NAN, 2}, device()), y(std::vector<float>{1, 1, 0}, device());
  Buffer<float> losses(3, device()), dlosses(std::vector<float>(3, 1.0F), device()), dx(3, device()),
      mean(1, device());
  op().forward(x.data(), y.data(), 1, losses.data(), 3, nullptr);
  op().backward(x.data(), y.data(), 1, dlosses.data(), dx.data(), 3, nullptr);
  op().mean_forward(x.data(), y.data(), 1, mean.data(), 3, nullptr);
  EXPECT_FALSE(std::isnan(losses.host()[0]) || std::isnan(losses.host()[2]));
  EXPECT_TRUE(std::isnan(losses.host()[1]));
  EXPECT_TRUE(std::isnan(dx.host()[1]));
  EXPECT_TRUE(std::isnan(mean.host()[0]));
}

TEST_P(BceTest, MeanOfNothingIsAnError) {
  float loss = 0;
  EXPECT_EQ(error_of([&] { op().mean_forward(nullptr, nullptr, 1, &loss, 0, nullptr); }),
            "bce: the mean of no elements");
  EXPECT_EQ(
      error_of([&] { op().mean_with_gradient(nullptr, nullptr, 1, nullptr, &loss, &loss, 0, nullptr); }),
      "bce: the mean of no elements");
}

TEST_P(BceTest, AnyAlignment) {
  const Inputs in = inputs(41, 5, 11);
  Buffer<float> x(in.x, device()), y(in.y, device()), aligned(41, device()), shifted(41, device());
  op().backward(x.data(), y.data(), 2, x.data(), aligned.data(), 41, nullptr);
  op().backward(x.data() + 1, y.data() + 1, 2, x.data() + 1, shifted.data() + 1, 40, nullptr);
  auto want = aligned.host();
  auto got = shifted.host();
  testing::expect_same_bits(std::vector<float>(got.begin() + 1, got.end()),
                            std::vector<float>(want.begin() + 1, want.end()), "from the second element on");
}

TEST_P(BceTest, SameBitsInEveryOrderOfThreadsAndBlocks) {
  const Inputs in = inputs(5000, 8, 7);
  Buffer<float> x(in.x, device()), y(in.y, device()), loss(1, device());
  const auto mean = [&] {
    op().mean_forward(x.data(), y.data(), 3, loss.data(), 5000, nullptr);
    return loss.host();
  };
  const auto in_this_order = mean();
  simt_machine::set_schedule({});  // ascending; means nothing to other devices
  testing::expect_same_bits(in_this_order, mean(), "this order and ascending");
}

TEST_P(BceTest, SameBitsForAnyNumberOfThreads) {
  if (device() != Device::cpu) GTEST_SKIP() << "threads are the cpu's";
  const Inputs in = inputs(50000, 8, 7);
  testing::expect_same_bits_for_any_threads([&] {
    std::vector<float> loss(1);
    bce<float>(Device::cpu).mean_forward(in.x.data(), in.y.data(), 3, loss.data(), 50000, nullptr);
    return loss;
  });
}

MT_ON_EVERY_DEVICE(BceTest, Bce<float>);

TEST(BceReferenceTest, BackwardAgreesWithFiniteDifferences) {
  const Inputs in = inputs(20, 4, 8);
  const auto y = testing::widened(in.y);
  const auto upstream = testing::widened(testing::uniform_values(20, 9));
  std::vector<double> dx(20);
  const auto& op = bce<double>(Device::cpu);
  op.backward(testing::widened(in.x).data(), y.data(), 1.75, upstream.data(), dx.data(), 20, nullptr);
  const auto loss = [&](const std::vector<double>& x) {
    std::vector<double> losses(20);
    op.forward(x.data(), y.data(), 1.75, losses.data(), 20, nullptr);
    return testing::dot(losses, upstream);
  };
  testing::expect_gradient(loss, testing::widened(in.x), dx, "dx");
}

TEST(BceReferenceTest, MeanWithGradientIsForwardAndBackward) {
  const Inputs in = inputs(21, 4, 12);
  const auto x = testing::widened(in.x);
  const auto y = testing::widened(in.y);
  const auto& op = bce<double>(Device::cpu);
  const double dloss = 0.7;
  double loss = 0, loss_alone = 0;
  std::vector<double> dx(21), dx_alone(21), slopes(21);
  op.mean_forward(x.data(), y.data(), 1.75, &loss_alone, 21, nullptr);
  op.mean_backward(x.data(), y.data(), 1.75, &dloss, dx_alone.data(), 21, nullptr);
  op.mean_with_gradient(x.data(), y.data(), 1.75, &dloss, &loss, dx.data(), 21, nullptr);
  EXPECT_EQ(loss, loss_alone);
  EXPECT_EQ(dx, dx_alone);
  op.mean_with_gradient(x.data(), y.data(), 1.75, nullptr, &loss, slopes.data(), 21, nullptr);
  op.mean_slopes_backward(slopes.data(), &dloss, dx.data(), 21, nullptr);
  EXPECT_EQ(dx, dx_alone);
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
    const double one = 1;
    op.forward(x.data(), y.data(), weight, losses.data(), n, nullptr);
    op.mean_backward(x.data(), y.data(), weight, &one, slopes.data(), n, nullptr);
    const std::string prefix = std::string("bce_pw") + name;
    testing::expect_close(losses, testing::golden_values<double>(file, prefix + "_each_f64"), prefix);
    testing::expect_close(slopes, testing::golden_values<double>(file, prefix + "_grad_mean_f64"),
                          prefix + " gradient");
  }
}

}  // namespace
}  // namespace mt
