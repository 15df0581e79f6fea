#include "kernels/pool/pool.h"

#include <array>

#include "tests/harness/golden.h"
#include "tests/harness/kernel_test.h"
#include "tests/harness/reference_check.h"

namespace mt {
namespace {

using testing::Buffer;
using testing::kRoundoff;
using testing::uniform_values;
using testing::widened;

struct Case {
  int64_t n, h, w, c;
  PoolWindow window;
  int64_t in() const { return n * h * w * c; }
  int64_t out() const { return n * window.pooled(h) * window.pooled(w) * c; }
};

// ResNet's window; one pixel; overlapping, gapped and whole-image windows; channels below, at and above 16;
// empty.
constexpr Case kCases[] = {{2, 11, 10, 3, {3, 2, 1}}, {1, 1, 1, 1, {1, 1, 0}},  {2, 7, 9, 16, {3, 1, 1}},
                           {1, 9, 9, 37, {2, 3, 0}},  {3, 5, 6, 19, {5, 2, 2}}, {1, 7, 7, 20, {7, 1, 0}},
                           {0, 4, 4, 2, {2, 2, 0}},   {1, 16, 3, 5, {15, 1, 7}}};

class PoolTest : public testing::KernelTest {
 protected:
  const Pool<float>& op() const { return version_of(pool<float>(device())); }
};

// Small integers make ties frequent: the first maximum must win on every device.
TEST_P(PoolTest, MaxIsExactTiesIncluded) {
  for (const Case& k : kCases) {
    for (const bool ties : {false, true}) {
      const auto x = ties ? testing::integer_values(k.in(), 1, 2) : uniform_values(k.in(), 1);
      std::vector<double> want(static_cast<std::size_t>(k.out()));
      std::vector<uint8_t> want_argmax(want.size());
      pool<double>(Device::cpu)
          .max_forward(widened(x).data(), want.data(), want_argmax.data(), k.n, k.h, k.w, k.c, k.window,
                       nullptr);
      Buffer<float> in(x, device()), out(k.out(), device());
      Buffer<uint8_t> argmax(k.out(), device());
      op().max_forward(in.data(), out.data(), argmax.data(), k.n, k.h, k.w, k.c, k.window, nullptr);
      testing::expect_within(
          out.host(), want, [](std::size_t) { return 0.0; }, "y");
      EXPECT_EQ(argmax.host(), want_argmax);
      Buffer<float> again(k.out(), device());
      op().max_forward(in.data(), again.data(), nullptr, k.n, k.h, k.w, k.c, k.window, nullptr);
      testing::expect_same_bits(again.host(), out.host(), "y without arg-max");
    }
  }
}

TEST_P(PoolTest, MaxBackwardAgreesWithReference) {
  for (const Case& k : kCases) {
    const auto x = testing::integer_values(k.in(), 2, 3);
    const auto dy = uniform_values(k.out(), 3);
    std::vector<double> y(dy.size());
    std::vector<uint8_t> argmax(dy.size());
    const Pool<double>& reference = pool<double>(Device::cpu);
    reference.max_forward(widened(x).data(), y.data(), argmax.data(), k.n, k.h, k.w, k.c, k.window, nullptr);
    std::vector<double> want(x.size());
    reference.max_backward(widened(dy).data(), argmax.data(), want.data(), k.n, k.h, k.w, k.c, k.window,
                           nullptr);
    Buffer<float> dy_in(dy, device()), dx(k.in(), device());
    Buffer<uint8_t> argmax_in(argmax, device());
    op().max_backward(dy_in.data(), argmax_in.data(), dx.data(), k.n, k.h, k.w, k.c, k.window, nullptr);
    // At most window² values of at most 1.
    const double taps = static_cast<double>(k.window.window * k.window.window);
    testing::expect_within(
        dx.host(), want, [&](std::size_t) { return kRoundoff * taps * taps; }, "dx");
  }
}

TEST_P(PoolTest, GlobalAverageAgreesWithReference) {
  for (const auto& [n, pixels, c] :
       {std::array<int64_t, 3>{1, 1, 1}, {3, 49, 33}, {2, 130, 16}, {0, 5, 4}, {1, 1000, 70}, {2, 37, 140}}) {
    const auto x = uniform_values(n * pixels * c, 6, 0, 1);
    const auto dy = uniform_values(n * c, 7);
    std::vector<double> want_y(dy.size()), want_dx(x.size());
    pool<double>(Device::cpu).global_average_forward(widened(x).data(), want_y.data(), n, pixels, c, nullptr);
    pool<double>(Device::cpu)
        .global_average_backward(widened(dy).data(), want_dx.data(), n, pixels, c, nullptr);
    Buffer<float> in(x, device()), y(n * c, device()), dy_in(dy, device()), dx(n * pixels * c, device());
    op().global_average_forward(in.data(), y.data(), n, pixels, c, nullptr);
    op().global_average_backward(dy_in.data(), dx.data(), n, pixels, c, nullptr);
    const double blocks = std::ceil(static_cast<double>(pixels) / 64);
    testing::expect_relative(y.host(), want_y, 64 + blocks + 1, "y");  // all x are positive
    testing::expect_relative(dx.host(), want_dx, 1, "dx");
  }
}

// Addresses that are no multiple of 16 bytes, or of 4 for the arg-max, take other paths.
TEST_P(PoolTest, AnyAlignment) {
  const Case k{1, 5, 5, 8, {3, 2, 1}};
  const auto x = uniform_values(k.in() + 1, 12);
  std::vector<double> want(static_cast<std::size_t>(k.out()));
  std::vector<uint8_t> want_argmax(want.size());
  pool<double>(Device::cpu)
      .max_forward(widened(x).data() + 1, want.data(), want_argmax.data(), 1, 5, 5, 8, k.window, nullptr);
  Buffer<float> in(x, device()), y(k.out(), device());
  Buffer<uint8_t> argmax(k.out() + 1, device());
  op().max_forward(in.data() + 1, y.data(), argmax.data() + 1, 1, 5, 5, 8, k.window, nullptr);
  testing::expect_within(
      y.host(), want, [](std::size_t) { return 0.0; }, "y");
  const auto taps = argmax.host();
  EXPECT_EQ(std::vector<uint8_t>(taps.begin() + 1, taps.end()), want_argmax);
}

// The first NaN wins and later numbers do not replace it; −inf in the whole window is a maximum like any
// other.
TEST_P(PoolTest, FirstNanWins) {
  const std::vector<float> x{1, NAN, 5, NAN, -INFINITY, -INFINITY, -INFINITY, -INFINITY};  // (2,2,2,1)
  Buffer<float> in(x, device()), y(2, device());
  Buffer<uint8_t> argmax(2, device());
  op().max_forward(in.data(), y.data(), argmax.data(), 2, 2, 2, 1, {2, 2, 0}, nullptr);
  EXPECT_TRUE(std::isnan(y.host()[0]));
  EXPECT_EQ(y.host()[1], -INFINITY);
  EXPECT_EQ(argmax.host(), (std::vector<uint8_t>{1, 0}));
}

TEST_P(PoolTest, WindowsThatDoNotFitAreErrors) {
  float value = 0;
  const auto max = op().max_forward;
  EXPECT_THROW(max(&value, &value, nullptr, 1, 1, 1, 1, {3, 1, 0}, nullptr), Error);
  EXPECT_THROW(max(&value, &value, nullptr, 1, 9, 9, 1, {3, 1, 2}, nullptr), Error);
  EXPECT_THROW(max(&value, &value, nullptr, 1, 99, 99, 1, {16, 1, 0}, nullptr), Error);
}

TEST_P(PoolTest, SameBitsForAnyNumberOfThreads) {
  if (device() != Device::cpu) GTEST_SKIP() << "threads are the cpu's";
  const Case k{3, 40, 40, 24, {3, 2, 1}};
  const auto x = uniform_values(k.in(), 8);
  testing::expect_same_bits_for_any_threads([&] {
    std::vector<float> y(static_cast<std::size_t>(k.out())), dx(x.size()), mean(3 * 24);
    std::vector<uint8_t> argmax(y.size());
    const Pool<float>& table = pool<float>(Device::cpu);
    table.max_forward(x.data(), y.data(), argmax.data(), k.n, k.h, k.w, k.c, k.window, nullptr);
    table.max_backward(y.data(), argmax.data(), dx.data(), k.n, k.h, k.w, k.c, k.window, nullptr);
    table.global_average_forward(x.data(), mean.data(), k.n, k.h * k.w, k.c, nullptr);
    dx.insert(dx.end(), mean.begin(), mean.end());
    return dx;
  });
}

TEST(PoolReferenceTest, BackwardIsTheGradient) {
  const Case k{2, 5, 4, 2, {3, 2, 1}};
  const auto x = widened(uniform_values(k.in(), 9));
  const auto weights = widened(uniform_values(k.out(), 10));
  const auto means = widened(uniform_values(k.n * k.c, 11));
  const Pool<double>& table = pool<double>(Device::cpu);
  using V = std::vector<double>;
  V y(weights.size()), dx(x.size());
  std::vector<uint8_t> argmax(y.size());
  table.max_forward(x.data(), y.data(), argmax.data(), k.n, k.h, k.w, k.c, k.window, nullptr);
  table.max_backward(weights.data(), argmax.data(), dx.data(), k.n, k.h, k.w, k.c, k.window, nullptr);
  const auto max = [&](const V& v) {
    table.max_forward(v.data(), y.data(), nullptr, k.n, k.h, k.w, k.c, k.window, nullptr);
    return testing::dot(y, weights);
  };
  testing::expect_gradient(max, x, dx, "max");
  V mean(means.size());
  table.global_average_backward(means.data(), dx.data(), k.n, k.h * k.w, k.c, nullptr);
  const auto global = [&](const V& v) {
    table.global_average_forward(v.data(), mean.data(), k.n, k.h * k.w, k.c, nullptr);
    return testing::dot(mean, means);
  };
  testing::expect_gradient(global, x, dx, "global average");
}

// torch's MaxPool2d(3, 2, 1) on (2,3,11,10); in the second case many values are equal.
TEST(PoolReferenceTest, AgreesWithGoldenMaxPool) {
  for (const std::string name : {"maxpool", "maxpool_ties"}) {
    const auto load = [&](const char* part) {
      return widened(testing::golden_values<float>("layers.npz", name + part));
    };
    const auto x = testing::channels_last(load("_x"), 2, 3, 110);
    const auto dy = testing::channels_last(load("_dy"), 2, 3, 30);
    std::vector<double> y(180), dx(660);
    std::vector<uint8_t> argmax(180);
    pool<double>(Device::cpu)
        .max_forward(x.data(), y.data(), argmax.data(), 2, 11, 10, 3, {3, 2, 1}, nullptr);
    pool<double>(Device::cpu)
        .max_backward(dy.data(), argmax.data(), dx.data(), 2, 11, 10, 3, {3, 2, 1}, nullptr);
    const auto want_y = testing::golden_values<double>("layers.npz", name + "_y");
    const auto want_dx = testing::golden_values<double>("layers.npz", name + "_dx");
    EXPECT_EQ(y, testing::channels_last(want_y, 2, 3, 30));
    testing::expect_close(dx, testing::channels_last(want_dx, 2, 3, 110), name + " dx");
  }
}

MT_ON_EVERY_DEVICE(PoolTest, Pool<float>);

}  // namespace
}  // namespace mt
