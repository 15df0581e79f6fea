#include "kernels/_skeleton/skeleton.h"

#include "tensor/parallel.h"
#include "tests/harness/kernel_test.h"

namespace mt {
namespace {

using testing::Buffer;

// Empty, one element, below, at and above 16 lanes, and several CUDA blocks with a tail that is no multiple
// of four.
constexpr int64_t kSizes[] = {0, 1, 15, 16, 33, 1030};
constexpr float kScale = -1.75F;
constexpr float kShift = 0.3F;

class SkeletonTest : public testing::KernelTest {
 protected:
  const Skeleton<float>& op() const { return version_of(skeleton<float>(device())); }
};

TEST_P(SkeletonTest, ForwardAgreesWithReference) {
  for (const int64_t n : kSizes) {
    const auto x = testing::uniform_values(n, 1, -10, 10);
    std::vector<double> want(x.size());
    skeleton<double>(Device::cpu)
        .forward(testing::widened(x).data(), want.data(), n, kScale, kShift, nullptr);
    Buffer<float> in(x, device());
    Buffer<float> out(n, device());
    op().forward(in.data(), out.data(), n, kScale, kShift, nullptr);
    // skeleton.md: u (2|a x| + |b|), and u once more on top of it.
    const auto bound = [&](std::size_t i) {
      return testing::kRoundoff * (1 + testing::kRoundoff) * (2 * std::abs(kScale * x[i]) + kShift);
    };
    testing::expect_within(out.host(), want, bound, "y");
  }
}

TEST_P(SkeletonTest, BackwardAgreesWithReference) {
  for (const int64_t n : kSizes) {
    const auto dy = testing::uniform_values(n, 2);
    std::vector<double> want(dy.size());
    skeleton<double>(Device::cpu).backward(testing::widened(dy).data(), want.data(), n, kScale, nullptr);
    Buffer<float> in(dy, device());
    Buffer<float> out(n, device());
    op().backward(in.data(), out.data(), n, kScale, nullptr);
    testing::expect_relative(out.host(), want, 1, "dx");
  }
}

TEST_P(SkeletonTest, AnyAlignmentIsAllowed) {
  const int64_t n = 21;
  const auto x = testing::uniform_values(n + 1, 3);
  Buffer<float> in(x, device());
  Buffer<float> out(n, device());
  op().forward(in.data() + 1, out.data(), n, 1.0F, 0.0F, nullptr);
  testing::expect_same_bits(out.host(), std::vector<float>(x.begin() + 1, x.end()), "a = 1, b = 0 copies");
}

TEST_P(SkeletonTest, NanStaysInItsElement) {
  Buffer<float> in(std::vector<float>{1, NAN, 2}, device());
  Buffer<float> out(3, device());
  op().forward(in.data(), out.data(), 3, 2.0F, 1.0F, nullptr);
  const auto y = out.host();
  EXPECT_EQ(y[0], 3.0F);
  EXPECT_TRUE(std::isnan(y[1]));
  EXPECT_EQ(y[2], 5.0F);
}

TEST(SkeletonCpuTest, SameBitsForAnyNumberOfThreads) {
  const int64_t n = 50000;
  const auto x = testing::uniform_values(n, 4);
  std::vector<std::vector<float>> results;
  const int before = thread_count();
  for (const int threads : {1, 2, 3}) {
    set_thread_count(threads);
    results.emplace_back(x.size());
    skeleton<float>(Device::cpu).forward(x.data(), results.back().data(), n, kScale, kShift, nullptr);
  }
  set_thread_count(before);
  testing::expect_same_bits(results[0], results[1], "1 and 2 threads");
  testing::expect_same_bits(results[0], results[2], "1 and 3 threads");
}

// The reference's backward against central differences of its forward; linear, so exact but for roundoff.
TEST(SkeletonReferenceTest, BackwardIsTheDerivativeOfForward) {
  const double x = 0.7;
  const double step = 0x1p-10;
  const double at[] = {x - step, x + step};
  double y[2];
  const double one = 1;
  double dx = 0;
  skeleton<double>(Device::cpu).forward(at, y, 2, kScale, kShift, nullptr);
  skeleton<double>(Device::cpu).backward(&one, &dx, 1, kScale, nullptr);
  EXPECT_NEAR(dx, (y[1] - y[0]) / (2 * step), 0x1p-40);  // a few roundoffs of y, 2^-53, over the step
}

MT_ON_EVERY_DEVICE(SkeletonTest, Skeleton<float>);

}  // namespace
}  // namespace mt
