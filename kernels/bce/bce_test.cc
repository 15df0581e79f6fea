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
    double loss = 0;
    const double dloss = 0.5;
    std::vector<double> slopes(in.x.size()), gradient(in.x.size());
    const auto& reference = bce<double>(Device::cpu);
    reference.mean_with_slopes(x64.data(), y64.data(), pos_weight, &loss, slopes.data(), n, nullptr);
    reference.mean_slopes_backward(slopes.data(), &dloss, gradient.data(), n, nullptr);
    Buffer<float> x(in.x, device()), y(in.y, device()), upstream(std::vector<float>{0.5F}, device());
    Buffer<float> mean(1, device()), mean_alone(1, device()), out(n, device()), dx(n, device());
    op().mean_forward(x.data(), y.data(), pos_weight, mean_alone.data(), n, nullptr);
    op().mean_with_slopes(x.data(), y.data(), pos_weight, mean.data(), out.data(), n, nullptr);
    op().mean_slopes_backward(out.data(), upstream.data(), dx.data(), n, nullptr);
    testing::expect_same_bits(mean.host(), mean_alone.host(), what + ": loss with and without slopes");
    // bce.md; 2^-126 (1 + w) for what lies below float's normal range.
    const double floor = 0x1p-126 * (1 + pos_weight);
    testing::expect_relative(mean.host(), std::vector<double>{loss},
                             12 + std::min<double>(static_cast<double>(n) / 16, 256), what,
                             0x1p-102 * (1 + pos_weight));
    const auto terms = [&](std::size_t i) {
      return (1 - y64[i]) * sigmoid(x64[i]) + pos_weight * y64[i] * sigmoid(-x64[i]);
    };
    testing::expect_within(
        out.host(), slopes, [&](std::size_t i) { return 12 * kU * terms(i) + floor; }, what + " slope");
    testing::expect_within(
        dx.host(), gradient,
        [&](std::size_t i) { return 14 * kU * terms(i) * dloss / static_cast<double>(n) + floor; },
        what + " gradient");
    op().mean_with_slopes(x.data(), y.data(), pos_weight, mean.data(), x.data(), n, nullptr);
    testing::expect_same_bits(x.host(), out.host(), what + ": slopes in place");
    op().mean_slopes_backward(x.data(), upstream.data(), x.data(), n, nullptr);
    testing::expect_same_bits(x.host(), dx.host(), what + ": gradient in place");
  }
};

TEST_P(BceTest, AgreesWithReference) {
  for (const int64_t n : {1, 15, 16, 17, 1000, 4097, 20000}) {  // one block of the GPU's, and several
    for (const double pos_weight : {1.0, 1.75, 0.2}) {
      for (const float range : {1.0F, 20.0F, 100.0F}) {
        expect_agreement(inputs(n, range, 3), pos_weight,
                         fmt::format("n {}, weight {}, range {}", n, pos_weight, range));
      }
    }
  }
}

TEST_P(BceTest, HugeLogitsStayFinite) {
  const std::vector<float> x{3e38F, -3e38F, 3e38F, -3e38F}, y{1, 1, 0, 0};
  const std::vector<float> losses{0, 3e38F, 3e38F, 0}, slopes{0, -1, 1, 0};
  for (std::size_t i = 0; i < x.size(); ++i) {
    Buffer<float> logit(std::vector<float>{x[i]}, device()), target(std::vector<float>{y[i]}, device());
    Buffer<float> loss(1, device()), slope(1, device());
    op().mean_with_slopes(logit.data(), target.data(), 1, loss.data(), slope.data(), 1, nullptr);
    EXPECT_EQ(loss.host()[0], losses[i]);
    EXPECT_EQ(slope.host()[0], slopes[i]);
  }
}

TEST_P(BceTest, NanGoesIntoTheMeanAndIntoItsSlopeOnly) {
  Buffer<float> x(std::vector<float>{1, NAN, 2}, device()), y(std::vector<float>{1, 1, 0}, device());
  Buffer<float> loss(1, device()), slopes(3, device());
  op().mean_with_slopes(x.data(), y.data(), 1, loss.data(), slopes.data(), 3, nullptr);
  EXPECT_TRUE(std::isnan(loss.host()[0]));
  EXPECT_FALSE(std::isnan(slopes.host()[0]) || std::isnan(slopes.host()[2]));
  EXPECT_TRUE(std::isnan(slopes.host()[1]));
}

TEST_P(BceTest, MeanOfNothingIsAnError) {
  float loss = 0;
  EXPECT_EQ(error_of([&] { op().mean_forward(nullptr, nullptr, 1, &loss, 0, nullptr); }),
            "bce: the mean of no elements");
  EXPECT_EQ(error_of([&] { op().mean_with_slopes(nullptr, nullptr, 1, &loss, &loss, 0, nullptr); }),
            "bce: the mean of no elements");
}

TEST_P(BceTest, AnyAlignment) {
  const Inputs in = inputs(41, 5, 11);
  Buffer<float> x(in.x, device()), y(in.y, device()), loss(1, device()), aligned(41, device()),
      shifted(41, device());
  op().mean_with_slopes(x.data(), y.data(), 2, loss.data(), aligned.data(), 41, nullptr);
  op().mean_with_slopes(x.data() + 1, y.data() + 1, 2, loss.data(), shifted.data() + 1, 40, nullptr);
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

TEST(BceReferenceTest, SlopesAndBackwardAreTheGradientOfTheMean) {
  const Inputs in = inputs(20, 4, 8);
  const auto y = testing::widened(in.y);
  const auto& op = bce<double>(Device::cpu);
  const double dloss = 0.7;
  double loss = 0;
  std::vector<double> slopes(20), dx(20);
  op.mean_with_slopes(testing::widened(in.x).data(), y.data(), 1.75, &loss, slopes.data(), 20, nullptr);
  op.mean_slopes_backward(slopes.data(), &dloss, dx.data(), 20, nullptr);
  const auto scaled_loss = [&](const std::vector<double>& x) {
    double value = 0;
    op.mean_forward(x.data(), y.data(), 1.75, &value, 20, nullptr);
    return dloss * value;
  };
  testing::expect_gradient(scaled_loss, testing::widened(in.x), dx, "dx");
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
