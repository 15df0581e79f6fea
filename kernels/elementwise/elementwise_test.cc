#include "kernels/elementwise/elementwise.h"

#include <utility>

#include "tests/harness/kernel_test.h"
#include "tests/harness/reference_check.h"

namespace mt {
namespace {

using testing::Buffer;
using testing::kRoundoff;
using testing::uniform_values;
using testing::widened;

class ElementwiseTest : public testing::KernelTest {
 protected:
  const Elementwise<float>& op() const { return version_of(elementwise<float>(device())); }
};

// Around 16 lanes; three of the 1,024 elements of a CUDA block, and a tail.
constexpr int64_t kSizes[] = {0, 1, 15, 16, 17, 33, 3075};

TEST_P(ElementwiseTest, BinaryOperationsRoundOnce) {
  using F = void (*)(const float*, const float*, float*, int64_t, Stream);
  using D = void (*)(const double*, const double*, double*, int64_t, Stream);
  const auto& fast = op();
  const auto& reference = elementwise<double>(Device::cpu);
  for (const auto& [f, d] :
       {std::pair<F, D>{fast.add, reference.add}, {fast.sub, reference.sub}, {fast.mul, reference.mul}}) {
    for (const int64_t n : kSizes) {
      const auto a = uniform_values(n, 1);
      const auto b = uniform_values(n, 2);
      std::vector<double> want(a.size());
      d(widened(a).data(), widened(b).data(), want.data(), n, nullptr);
      Buffer<float> a_in(a, device()), b_in(b, device()), y(n, device());
      f(a_in.data(), b_in.data(), y.data(), n, nullptr);
      testing::expect_relative(y.host(), want, 1, "y");
      f(a_in.data(), b_in.data(), a_in.data(), n, nullptr);
      testing::expect_same_bits(a_in.host(), y.host(), "in place");
    }
  }
}

TEST_P(ElementwiseTest, ScaleAgreesWithReference) {
  for (const int64_t n : kSizes) {
    const auto x = uniform_values(n, 3);
    const float factor = 0.3F;
    std::vector<double> want(x.size());
    elementwise<double>(Device::cpu).scale(widened(x).data(), factor, want.data(), n, nullptr);
    Buffer<float> x_in(x, device()), scaled(n, device());
    op().scale(x_in.data(), factor, scaled.data(), n, nullptr);
    testing::expect_relative(scaled.host(), want, 1, "scale");
  }
}

TEST_P(ElementwiseTest, AnyAlignment) {
  const auto a = testing::integer_values(70, 8, 50);
  const auto b = testing::integer_values(70, 9, 50);
  for (const int64_t offset : {1, 2, 3}) {
    Buffer<float> a_in(a, device()), b_in(b, device()), y(67, device()), z(64, device());
    op().add(a_in.data() + offset, b_in.data(), y.data(), 67, nullptr);
    op().add_row(a_in.data(), b_in.data() + offset, z.data(), 1, 64, nullptr);
    for (std::size_t i = 0; i < 64; ++i) {
      const auto shifted = i + static_cast<std::size_t>(offset);
      ASSERT_EQ(y.host()[i], a[shifted] + b[i]);
      ASSERT_EQ(z.host()[i], a[i] + b[shifted]);
    }
  }
}

TEST_P(ElementwiseTest, LargeArrays) {
  if (skips_large_case()) return;
  const auto x = testing::integer_values(700 * 1000, 10, 50);
  const auto row = testing::integer_values(1000, 11, 50);
  Buffer<float> x_in(x, device()), row_in(row, device()), y(700 * 1000, device());
  op().add_row(x_in.data(), row_in.data(), y.data(), 700, 1000, nullptr);
  const auto got = y.host();
  for (std::size_t i = 0; i < x.size(); ++i) ASSERT_EQ(got[i], x[i] + row[i % 1000]) << i;
}

// Columns in blocks of 128 threads and of 512, rows in sixteens; few columns.
TEST_P(ElementwiseTest, AddRowAddsTheRowToEveryRow) {
  for (const auto& [rows, columns] :
       {std::pair<int64_t, int64_t>{3, 5}, {1, 1}, {0, 4}, {4, 0}, {37, 65}, {18, 516}}) {
    const auto x = uniform_values(rows * columns, 5);
    const auto row = uniform_values(columns, 6);
    std::vector<double> want(x.size());
    elementwise<double>(Device::cpu)
        .add_row(widened(x).data(), widened(row).data(), want.data(), rows, columns, nullptr);
    Buffer<float> x_in(x, device()), row_in(row, device()), y(rows * columns, device());
    op().add_row(x_in.data(), row_in.data(), y.data(), rows, columns, nullptr);
    testing::expect_relative(y.host(), want, 1, "y");
  }
}

TEST_P(ElementwiseTest, SameBitsForAnyNumberOfThreads) {
  if (device() != Device::cpu) GTEST_SKIP() << "threads are the cpu's";
  const auto x = uniform_values(100003, 7);
  testing::expect_same_bits_for_any_threads([&] {
    std::vector<float> y(x.size());
    elementwise<float>(Device::cpu).scale(x.data(), 0.7F, y.data(), 100003, nullptr);
    return y;
  });
}

MT_ON_EVERY_DEVICE(ElementwiseTest, Elementwise<float>);

}  // namespace
}  // namespace mt
