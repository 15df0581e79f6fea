#include "kernels/activation/activation.h"

#include "tests/harness/golden.h"
#include "tests/harness/kernel_test.h"
#include "tests/harness/reference_check.h"

namespace mt {
namespace {

using testing::Buffer;
using testing::kRoundoff;
using testing::uniform_values;
using testing::widened;

constexpr ActivationKind kKinds[] = {ActivationKind::relu,      ActivationKind::tanh,
                                     ActivationKind::sigmoid,   ActivationKind::gelu_erf,
                                     ActivationKind::gelu_tanh, ActivationKind::silu};

double sigmoid(double x) {
  return 1 / (1 + std::exp(-x));
}

// 2√(2/π)(x + 0.044715 x³), the argument of gelu_tanh's sigmoid.
double gelu_inner(double x) {
  return 1.5957691216057308 * (x + 0.044715 * x * x * x);
}

// Error bounds of activation.md, in roundoffs, on |y| …
double forward_roundoffs(ActivationKind kind, double x) {
  switch (kind) {
    case ActivationKind::relu:
      return 0;
    case ActivationKind::tanh:
      return 8;
    case ActivationKind::sigmoid:
      return 7;
    case ActivationKind::gelu_erf:
      return 15 + (x < 0 ? 1.5 * x * x : 0);
    case ActivationKind::gelu_tanh:
      return 8 + 5 * std::abs(gelu_inner(x)) * sigmoid(-gelu_inner(x));
    case ActivationKind::silu:
      return 9;
  }
  return 0;
}

// … and absolutely on the slope at s (y or x), as the sum over its terms.
double slope_bound(ActivationKind kind, double s) {
  switch (kind) {
    case ActivationKind::relu:
      return 0;
    case ActivationKind::tanh:
      return kRoundoff * 4 * (1 + std::abs(s)) * (1 - std::abs(s));
    case ActivationKind::sigmoid:
      return kRoundoff * 4 * s * (1 - s);
    case ActivationKind::gelu_erf: {
      const double phi = 0.5 * std::erfc(-s / std::sqrt(2.0));
      const double density = std::exp(-0.5 * s * s) * 0.3989422804014327;
      return kRoundoff *
             ((18 + (s < 0 ? 1.5 * s * s : 0)) * phi + (10 + 1.5 * s * s) * std::abs(s) * density);
    }
    case ActivationKind::gelu_tanh: {
      const double t = gelu_inner(s);
      const double slope = 1.5957691216057308 * (1 + 3 * 0.044715 * s * s);
      const double p = sigmoid(t);
      const double amplified = 5 * std::abs(t);
      return kRoundoff *
             ((11 + amplified * (1 - p)) * p + (24 + amplified) * std::abs(s) * slope * p * (1 - p));
    }
    case ActivationKind::silu: {
      const double p = sigmoid(s);
      return kRoundoff * (11 * p + 20 * std::abs(s) * p * (1 - p));
    }
  }
  return 0;
}

class ActivationTest : public testing::KernelTest {
 protected:
  const Activation<float>& op() const { return version_of(activation<float>(device())); }
};

// Odd sizes around 16 lanes, empty; ranges from nearly linear to deep in the tails.
TEST_P(ActivationTest, ForwardAndBackwardAgreeWithReference) {
  for (const ActivationKind kind : kKinds) {
    for (const auto& [n, range] :
         {std::pair<int64_t, float>{0, 1}, {1, 1}, {15, 1e-3F}, {16, 1}, {1000, 6}, {1027, 30}}) {
      SCOPED_TRACE(::testing::Message() << "kind " << static_cast<int>(kind) << " range " << range);
      const auto x = uniform_values(n, 1, -range, range);
      const auto dy = uniform_values(n, 2);
      std::vector<double> want(x.size());
      activation<double>(Device::cpu).forward(kind, widened(x).data(), want.data(), n, nullptr);
      Buffer<float> in(x, device()), y(n, device());
      op().forward(kind, in.data(), y.data(), n, nullptr);
      testing::expect_within(
          y.host(), want,
          [&](std::size_t i) {
            return kRoundoff * forward_roundoffs(kind, x[i]) * std::abs(want[i]) +
                   0x1p-126 * (1 + std::abs(x[i]));
          },
          "y");
      const auto saved = activation_backward_reads_output(kind) ? y.host() : x;
      std::vector<double> want_dx(x.size());
      activation<double>(Device::cpu)
          .backward(kind, widened(saved).data(), widened(dy).data(), want_dx.data(), n, nullptr);
      Buffer<float> saved_in(saved, device()), dy_in(dy, device()), dx(n, device());
      op().backward(kind, saved_in.data(), dy_in.data(), dx.data(), n, nullptr);
      testing::expect_within(
          dx.host(), want_dx,
          [&](std::size_t i) {
            return std::abs(dy[i]) * slope_bound(kind, saved[i]) + kRoundoff * std::abs(want_dx[i]) +
                   0x1p-126 * (1 + std::abs(x[i] * x[i] * x[i]));
          },
          "dx");
    }
  }
}

TEST_P(ActivationTest, LimitsAndNan) {
  const std::vector<float> x{-INFINITY, -200, 0, 200, INFINITY, NAN};
  const auto y = [&](ActivationKind kind) {
    Buffer<float> in(x, device()), out(6, device());
    op().forward(kind, in.data(), out.data(), 6, nullptr);
    return out.host();
  };
  for (const ActivationKind kind : kKinds) {
    EXPECT_TRUE(std::isnan(y(kind)[5])) << static_cast<int>(kind);
    Buffer<float> saved(x, device()), dy({1, 1, 1, 1, 1, 1}, device()), dx(6, device());
    op().backward(kind, saved.data(), dy.data(), dx.data(), 6, nullptr);
    EXPECT_TRUE(std::isnan(dx.host()[5])) << static_cast<int>(kind);
    if (!activation_backward_reads_output(kind)) {
      EXPECT_EQ(dx.host()[1], 0.0F) << static_cast<int>(kind);
      EXPECT_EQ(dx.host()[2], 0.5F) << static_cast<int>(kind);
      EXPECT_EQ(dx.host()[3], 1.0F) << static_cast<int>(kind);
      EXPECT_EQ(y(kind)[1], 0.0F) << static_cast<int>(kind);
      EXPECT_EQ(y(kind)[3], 200.0F) << static_cast<int>(kind);
    }
  }
  using V = std::vector<float>;
  const auto first_five = [&](ActivationKind kind) {
    auto values = y(kind);
    values.pop_back();
    return values;
  };
  EXPECT_EQ(first_five(ActivationKind::relu), (V{0, 0, 0, 200, INFINITY}));
  EXPECT_EQ(first_five(ActivationKind::tanh), (V{-1, -1, 0, 1, 1}));
  EXPECT_EQ(first_five(ActivationKind::sigmoid), (V{0, 0, 0.5F, 1, 1}));
}

TEST_P(ActivationTest, ReluSlopeAtZeroIsZero) {
  Buffer<float> y({0, -0.0F, 1e-38F}, device()), dy({1, 1, 1}, device()), dx(3, device());
  op().backward(ActivationKind::relu, y.data(), dy.data(), dx.data(), 3, nullptr);
  EXPECT_EQ(dx.host(), (std::vector<float>{0, 0, 1}));
}

TEST_P(ActivationTest, SameBitsForAnyNumberOfThreads) {
  if (device() != Device::cpu) GTEST_SKIP() << "threads are the cpu's";
  const auto x = uniform_values(50001, 3, -5, 5);
  for (const ActivationKind kind : kKinds) {
    testing::expect_same_bits_for_any_threads([&] {
      std::vector<float> y(x.size());
      activation<float>(Device::cpu).forward(kind, x.data(), y.data(), 50001, nullptr);
      activation<float>(Device::cpu).backward(kind, x.data(), y.data(), y.data(), 50001, nullptr);
      return y;
    });
  }
}

TEST(ActivationReferenceTest, BackwardIsTheGradient) {
  const auto x = widened(uniform_values(40, 4, -4, 4));
  const auto weights = widened(uniform_values(40, 5));
  for (const ActivationKind kind : kKinds) {
    std::vector<double> y(40), dx(40);
    const auto loss = [&](const std::vector<double>& v) {
      activation<double>(Device::cpu).forward(kind, v.data(), y.data(), 40, nullptr);
      return testing::dot(y, weights);
    };
    loss(x);
    const auto& saved = activation_backward_reads_output(kind) ? y : x;
    activation<double>(Device::cpu).backward(kind, saved.data(), weights.data(), dx.data(), 40, nullptr);
    testing::expect_gradient(loss, x, dx, "kind " + std::to_string(static_cast<int>(kind)));
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

MT_ON_EVERY_DEVICE(ActivationTest, Activation<float>);

}  // namespace
}  // namespace mt
