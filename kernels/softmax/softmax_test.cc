#include "kernels/softmax/softmax.h"

#include <algorithm>

#include "tensor/parallel.h"
#include "tests/harness/golden.h"
#include "tests/harness/kernel_test.h"
#include "tests/harness/reference_check.h"

namespace mt {
namespace {

using testing::Buffer;

struct Case {
  int64_t rows;
  int64_t columns;
  float range;  // inputs lie in [-range, range)
};

// One element, below, at and above 16 lanes, a CUDA warp's 2, 8 and 32 columns a lane with tails and idle
// warps, a CUDA block's row (beyond 1024), empty, and logits far beyond exp's range.
constexpr Case kCases[] = {{1, 1, 1},   {3, 5, 4}, {2, 16, 1},     {4, 33, 20},  {5, 64, 2},   {6, 100, 2},
                           {7, 257, 3}, {0, 8, 1}, {2, 1000, 300}, {1, 1024, 9}, {2, 1307, 50}};

class SoftmaxTest : public testing::KernelTest {
 protected:
  const Softmax<float>& op() const { return version_of(softmax<float>(device())); }
};

TEST_P(SoftmaxTest, ForwardAgreesWithReference) {
  for (const Case& c : kCases) {
    const auto x = testing::uniform_values(c.rows * c.columns, 1, -c.range, c.range);
    std::vector<double> want(x.size());
    softmax<double>(Device::cpu).forward(testing::widened(x).data(), want.data(), c.rows, c.columns, nullptr);
    Buffer<float> in(x, device());
    Buffer<float> out(c.rows * c.columns, device());
    op().forward(in.data(), out.data(), c.rows, c.columns, nullptr);
    // softmax.md: relative error u (8 + C + 2 max|x - m|); results below float's range may flush to 0.
    const double relative = testing::kRoundoff * (8 + static_cast<double>(c.columns) + 4 * c.range);
    testing::expect_within(
        out.host(), want, [&](std::size_t i) { return want[i] * relative + 0x1p-126; }, "y");
  }
}

TEST_P(SoftmaxTest, BackwardAgreesWithReference) {
  for (const Case& c : kCases) {
    const auto x = testing::uniform_values(c.rows * c.columns, 2, -c.range, c.range);
    const auto dy = testing::uniform_values(c.rows * c.columns, 3);
    std::vector<double> y(x.size());
    softmax<double>(Device::cpu).forward(testing::widened(x).data(), y.data(), c.rows, c.columns, nullptr);
    const std::vector<float> y32(y.begin(), y.end());
    std::vector<double> want(x.size());
    softmax<double>(Device::cpu)
        .backward(testing::widened(y32).data(), testing::widened(dy).data(), want.data(), c.rows, c.columns,
                  nullptr);
    Buffer<float> y_in(y32, device());
    Buffer<float> dy_in(dy, device());
    Buffer<float> dx(c.rows * c.columns, device());
    op().backward(y_in.data(), dy_in.data(), dx.data(), c.rows, c.columns, nullptr);
    // |dy| <= 1 and the y of a row sum to 1, so the sum of |dy y| is at most 1.
    testing::expect_within(
        dx.host(), want,
        [&](std::size_t i) {
          return testing::kRoundoff * y32[i] * (static_cast<double>(c.columns) + 5) + 0x1p-126;
        },
        "dx");
  }
}

TEST_P(SoftmaxTest, RowsSumToOneForHugeLogits) {
  const std::vector<float> x{3e38F, -3e38F, 3e38F, 0, 1e-30F, -88};
  Buffer<float> in(x, device());
  Buffer<float> out(6, device());
  op().forward(in.data(), out.data(), 2, 3, nullptr);
  const auto y = out.host();
  EXPECT_EQ(y[0], 0.5F);
  EXPECT_EQ(y[1], 0.0F);
  EXPECT_NEAR(y[3] + y[4] + y[5], 1.0F, 4 * testing::kRoundoff);
}

TEST_P(SoftmaxTest, NanStaysInItsRow) {
  const std::vector<float> x{1, NAN, 2, 1, 1, 1};
  Buffer<float> in(x, device());
  Buffer<float> out(6, device());
  op().forward(in.data(), out.data(), 2, 3, nullptr);
  const auto y = out.host();
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(std::isnan(y[static_cast<std::size_t>(i)]));
  for (std::size_t i = 3; i < 6; ++i) EXPECT_FLOAT_EQ(y[i], 1.0F / 3);
}

TEST_P(SoftmaxTest, InfinitiesOfAnyRowLength) {
  for (const int64_t columns : {int64_t{3}, int64_t{100}, int64_t{1100}}) {
    std::vector<float> x(static_cast<std::size_t>(3 * columns), -INFINITY);  // row 0: only -inf, NaN
    x[static_cast<std::size_t>(2 * columns - 1)] = 7;                        // row 1: all weight on the last
    x[static_cast<std::size_t>(2 * columns)] = INFINITY;                     // row 2: +inf, NaN
    Buffer<float> in(x, device());
    Buffer<float> out(3 * columns, device());
    op().forward(in.data(), out.data(), 3, columns, nullptr);
    const auto y = out.host();
    for (int64_t c = 0; c < columns; ++c) {
      EXPECT_TRUE(std::isnan(y[static_cast<std::size_t>(c)]));
      EXPECT_EQ(y[static_cast<std::size_t>(columns + c)], c == columns - 1 ? 1.0F : 0.0F);
      EXPECT_TRUE(std::isnan(y[static_cast<std::size_t>(2 * columns + c)]));
    }
  }
}

TEST_P(SoftmaxTest, OutputMayBeTheInput) {
  for (const int64_t columns : {int64_t{40}, int64_t{1100}}) {
    const auto x = testing::uniform_values(2 * columns, 5, -3, 3);
    Buffer<float> in(x, device());
    Buffer<float> out(2 * columns, device());
    op().forward(in.data(), out.data(), 2, columns, nullptr);
    op().forward(in.data(), in.data(), 2, columns, nullptr);
    testing::expect_same_bits(in.host(), out.host(), "in place");
  }
}

TEST_P(SoftmaxTest, SameBitsInEveryOrderOfThreadsAndBlocks) {
  for (const int64_t columns : {int64_t{300}, int64_t{1100}}) {
    const auto x = testing::uniform_values(6 * columns, 6, -5, 5);
    Buffer<float> in(x, device());
    Buffer<float> out(6 * columns, device());
    Buffer<float> again(6 * columns, device());
    op().forward(in.data(), out.data(), 6, columns, nullptr);
    simt_machine::set_schedule({});  // ascending; means nothing to other devices
    op().forward(in.data(), again.data(), 6, columns, nullptr);
    testing::expect_same_bits(out.host(), again.host(), "this order and ascending");
  }
}

TEST(SoftmaxCpuTest, SameBitsForAnyNumberOfThreads) {
  const int64_t rows = 64;
  const int64_t columns = 700;
  const auto x = testing::uniform_values(rows * columns, 4, -5, 5);
  std::vector<std::vector<float>> results;
  const int before = thread_count();
  for (const int threads : {1, 2, 3}) {
    set_thread_count(threads);
    results.emplace_back(x.size());
    softmax<float>(Device::cpu).forward(x.data(), results.back().data(), rows, columns, nullptr);
  }
  set_thread_count(before);
  testing::expect_same_bits(results[0], results[1], "1 and 2 threads");
  testing::expect_same_bits(results[0], results[2], "1 and 3 threads");
}

TEST(SoftmaxReferenceTest, BackwardIsTheGradient) {
  const auto x = testing::widened(testing::uniform_values(3 * 5, 5, -2, 2));
  const auto weights = testing::widened(testing::uniform_values(3 * 5, 6));
  std::vector<double> y(15), dx(15);
  const auto loss = [&](const std::vector<double>& v) {
    softmax<double>(Device::cpu).forward(v.data(), y.data(), 3, 5, nullptr);
    return testing::dot(y, weights);
  };
  loss(x);
  softmax<double>(Device::cpu).backward(y.data(), weights.data(), dx.data(), 3, 5, nullptr);
  testing::expect_gradient(loss, x, dx, "dx");
}

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

MT_ON_EVERY_DEVICE(SoftmaxTest, Softmax<float>);

}  // namespace
}  // namespace mt
