#include "kernels/l2_normalise/l2_normalise.h"

#include "tests/harness/golden.h"
#include "tests/harness/kernel_test.h"
#include "tests/harness/reference_check.h"

namespace mt {
namespace {

using testing::Buffer;
using testing::kRoundoff;
using testing::uniform_values;
using testing::widened;

constexpr float kEps = static_cast<float>(kL2NormaliseEps);

struct Case {
  int64_t rows;
  int64_t columns;
  float range;
};

// One column; around 8 and 16 lanes; squares that overflow float, and ones that vanish in it; below eps;
// empty. For the GPU: one, four and eight steps of a warp, and a block per row, each with rows that start on
// 16 bytes and with others; more rows than warps in a block.
constexpr Case kCases[] = {{1, 1, 1},   {3, 7, 4},        {2, 16, 1e25F},    {5, 33, 1e-25F},
                           {4, 256, 1}, {0, 8, 1},        {2, 1000, 1e-14F}, {9, 130, 1},
                           {2, 999, 1}, {2, 1100, 1e25F}, {1, 1026, 1},      {2, 1028, 1e-14F}};

class L2NormaliseTest : public testing::KernelTest {
 protected:
  const L2Normalise<float>& op() const { return version_of(l2_normalise<float>(device())); }
};

TEST_P(L2NormaliseTest, ForwardAndBackwardAgreeWithReference) {
  for (const Case& k : kCases) {
    SCOPED_TRACE(::testing::Message() << k.rows << " x " << k.columns << " range " << k.range);
    const auto x = uniform_values(k.rows * k.columns, 1, -k.range, k.range);
    const auto dy = uniform_values(k.rows * k.columns, 2);
    const auto& reference = l2_normalise<double>(Device::cpu);
    std::vector<double> want_y(x.size()), want_norm(static_cast<std::size_t>(k.rows)), want_dx(x.size());
    reference.forward(widened(x).data(), want_y.data(), want_norm.data(), k.rows, k.columns, kEps, nullptr);
    Buffer<float> in(x, device()), y(k.rows * k.columns, device()), norm(k.rows, device());
    op().forward(in.data(), y.data(), norm.data(), k.rows, k.columns, kEps, nullptr);
    testing::expect_relative(norm.host(), want_norm, 1.01, "norm");
    testing::expect_relative(y.host(), want_y, 2.1, "y");
    const auto y32 = y.host();
    const auto norm32 = norm.host();
    reference.backward(widened(y32).data(), widened(norm32).data(), widened(dy).data(), want_dx.data(),
                       k.rows, k.columns, kEps, nullptr);
    Buffer<float> dy_in(dy, device());
    op().backward(y.data(), norm.data(), dy_in.data(), dy_in.data(), k.rows, k.columns, kEps, nullptr);
    testing::expect_within(
        dy_in.host(), want_dx,
        [&](std::size_t i) {
          const std::size_t row = i / static_cast<std::size_t>(k.columns);
          double sizes = 0;  // Σ|y g|, an upper bound of |y·g|
          for (int64_t c = 0; c < k.columns; ++c) {
            const std::size_t j = row * static_cast<std::size_t>(k.columns) + static_cast<std::size_t>(c);
            sizes += std::abs(static_cast<double>(y32[j]) * static_cast<double>(dy[j]));
          }
          return 4 * kRoundoff * (std::abs(dy[i]) + 2 * std::abs(y32[i]) * sizes) /
                 std::max(norm32[row], kEps);
        },
        "dx");
  }
}

TEST_P(L2NormaliseTest, ZeroRowStaysZeroAndNanStaysInItsRow) {
  Buffer<float> x({0, 0, NAN, 1, 3, 4}, device()), y(6, device()), norm(3, device());
  op().forward(x.data(), y.data(), norm.data(), 3, 2, kEps, nullptr);
  const auto out = y.host();
  EXPECT_EQ(out[0], 0.0F);
  EXPECT_EQ(out[1], 0.0F);
  EXPECT_TRUE(std::isnan(out[2]) && std::isnan(out[3]));
  EXPECT_FLOAT_EQ(out[4], 0.6F);
  EXPECT_FLOAT_EQ(out[5], 0.8F);
  EXPECT_EQ(norm.host()[2], 5.0F);
}

TEST_P(L2NormaliseTest, SameBitsInEveryOrderOfThreadsAndBlocks) {
  for (const int64_t columns : {int64_t{300}, int64_t{1100}}) {
    const auto x = uniform_values(6 * columns, 6);
    Buffer<float> in(x, device()), norm(6, device()), y(6 * columns, device()), dx(6 * columns, device());
    const auto run = [&] {
      op().forward(in.data(), y.data(), norm.data(), 6, columns, kEps, nullptr);
      op().backward(y.data(), norm.data(), in.data(), dx.data(), 6, columns, kEps, nullptr);
      return dx.host();
    };
    const auto in_this_order = run();
    simt_machine::set_schedule({});  // ascending; means nothing to other devices
    testing::expect_same_bits(in_this_order, run(), "this order and ascending");
  }
}

TEST_P(L2NormaliseTest, SameBitsForAnyNumberOfThreads) {
  if (device() != Device::cpu) GTEST_SKIP() << "threads are the cpu's";
  const auto x = uniform_values(600 * 257, 3);
  testing::expect_same_bits_for_any_threads([&] {
    std::vector<float> y(x.size()), norm(600);
    l2_normalise<float>(Device::cpu).forward(x.data(), y.data(), norm.data(), 600, 257, kEps, nullptr);
    l2_normalise<float>(Device::cpu)
        .backward(y.data(), norm.data(), x.data(), y.data(), 600, 257, kEps, nullptr);
    return y;
  });
}

TEST(L2NormaliseReferenceTest, BackwardIsTheGradient) {
  const auto x = widened(uniform_values(3 * 4, 4));
  const auto weights = widened(uniform_values(3 * 4, 5));
  for (const double eps : {1e-12, 100.0}) {  // the norm, or eps, divides
    std::vector<double> y(12), norm(3), dx(12);
    const auto loss = [&](const std::vector<double>& v) {
      l2_normalise<double>(Device::cpu).forward(v.data(), y.data(), norm.data(), 3, 4, eps, nullptr);
      return testing::dot(y, weights);
    };
    loss(x);
    l2_normalise<double>(Device::cpu)
        .backward(y.data(), norm.data(), weights.data(), dx.data(), 3, 4, eps, nullptr);
    testing::expect_gradient(loss, x, dx, "dx");
  }
}

TEST(L2NormaliseReferenceTest, AgreesWithGolden) {
  const auto x = widened(testing::golden_values<float>("layers.npz", "act_x"));  // (6,9)
  const auto dy = widened(testing::golden_values<float>("layers.npz", "act_dy"));
  std::vector<double> y(54), norm(6), dx(54);
  l2_normalise<double>(Device::cpu).forward(x.data(), y.data(), norm.data(), 6, 9, kL2NormaliseEps, nullptr);
  l2_normalise<double>(Device::cpu)
      .backward(y.data(), norm.data(), dy.data(), dx.data(), 6, 9, kL2NormaliseEps, nullptr);
  testing::expect_close(y, testing::golden_values<double>("layers.npz", "normalize_y"), "y");
  testing::expect_close(dx, testing::golden_values<double>("layers.npz", "normalize_dx"), "dx");
}

MT_ON_EVERY_DEVICE(L2NormaliseTest, L2Normalise<float>);

}  // namespace
}  // namespace mt
