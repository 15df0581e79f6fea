#include "kernels/softmax/softmax.h"

#include <algorithm>

#include "tensor/parallel.h"
#include "tests/harness/kernel_test.h"

namespace mt {
namespace {

using testing::Buffer;

struct Case {
  int64_t rows;
  int64_t columns;
  float range;  // inputs lie in [-range, range)
};

// One element, below, at and above 16 lanes, several warps, empty, and logits far beyond exp's range.
constexpr Case kCases[] = {{1, 1, 1},   {3, 5, 4}, {2, 16, 1},    {4, 33, 20},
                           {7, 257, 3}, {0, 8, 1}, {2, 1000, 300}};

class SoftmaxTest : public testing::KernelTest {};

TEST_P(SoftmaxTest, ForwardAgreesWithReference) {
  for (const Case& c : kCases) {
    const auto x = testing::uniform_values(c.rows * c.columns, 1, -c.range, c.range);
    std::vector<double> want(x.size());
    softmax<double>(Device::cpu).forward(testing::widened(x).data(), want.data(), c.rows, c.columns, nullptr);
    Buffer<float> in(x, device());
    Buffer<float> out(c.rows * c.columns, device());
    softmax<float>(device()).forward(in.data(), out.data(), c.rows, c.columns, nullptr);
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
    softmax<float>(device()).backward(y_in.data(), dy_in.data(), dx.data(), c.rows, c.columns, nullptr);
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
  softmax<float>(device()).forward(in.data(), out.data(), 2, 3, nullptr);
  const auto y = out.host();
  EXPECT_EQ(y[0], 0.5F);
  EXPECT_EQ(y[1], 0.0F);
  EXPECT_NEAR(y[3] + y[4] + y[5], 1.0F, 4 * testing::kRoundoff);
}

TEST_P(SoftmaxTest, NanStaysInItsRow) {
  const std::vector<float> x{1, NAN, 2, 1, 1, 1};
  Buffer<float> in(x, device());
  Buffer<float> out(6, device());
  softmax<float>(device()).forward(in.data(), out.data(), 2, 3, nullptr);
  const auto y = out.host();
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(std::isnan(y[static_cast<std::size_t>(i)]));
  for (std::size_t i = 3; i < 6; ++i) EXPECT_FLOAT_EQ(y[i], 1.0F / 3);
}

TEST_P(SoftmaxTest, SameBitsForAnyNumberOfThreads) {
  if (device() != Device::cpu) GTEST_SKIP() << "threads are the cpu's";
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

MT_ON_EVERY_DEVICE(SoftmaxTest, Softmax<float>);

}  // namespace
}  // namespace mt
