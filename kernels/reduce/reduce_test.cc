#include "kernels/reduce/reduce.h"

#include <span>

#include "tests/harness/kernel_test.h"
#include "tests/harness/reference_check.h"

namespace mt {
namespace {

using testing::Buffer;
using testing::kRoundoff;
using testing::uniform_values;
using testing::widened;

class ReduceTest : public testing::KernelTest {
 protected:
  const Reduce<float>& op() const { return version_of(reduce<float>(device())); }
};

std::vector<double> magnitudes(const std::vector<float>& x) {
  std::vector<double> result = widened(x);
  for (double& value : result) value = std::abs(value);
  return result;
}

struct Case {
  int64_t rows;
  int64_t columns;
};

// One row or column; leaves of 8 rows, blocks of 1,024, 16 lanes, a CUDA block's segment of 64 rows and its
// chunk of 4,096 elements, each passed by a little; empty.
constexpr Case kCases[] = {{1, 1}, {8, 3},   {9, 16},   {1, 1025}, {0, 4},
                           {4, 0}, {77, 33}, {130, 36}, {3, 4103}, {300, 2}};
// Segments of 4,096 rows on the CPU.
constexpr Case kLargeCases[] = {{4097, 17}, {9000, 2}, {3, 50000}};

void expect_sums(const Reduce<float>& op, Device device, std::span<const Case> cases) {
  const auto& reference = reduce<double>(Device::cpu);
  for (const auto& [rows, columns] : cases) {
    SCOPED_TRACE(::testing::Message() << rows << " x " << columns);
    const auto x = uniform_values(rows * columns, 1);
    const auto sizes = magnitudes(x);
    Buffer<float> in(x, device), by_column(columns, device);
    std::vector<double> want(static_cast<std::size_t>(columns)), scale(want.size());
    reference.column_sum(widened(x).data(), want.data(), rows, columns, nullptr);
    reference.column_sum(sizes.data(), scale.data(), rows, columns, nullptr);
    op.column_sum(in.data(), by_column.data(), rows, columns, nullptr);
    // reduce.md: 25 u Σ|x|.
    testing::expect_within(
        by_column.host(), want, [&](std::size_t c) { return 25 * kRoundoff * scale[c]; }, "columns");
    if (rows > 0) {
      reference.column_mean(widened(x).data(), want.data(), rows, columns, nullptr);
      op.column_mean(in.data(), by_column.data(), rows, columns, nullptr);
      const auto count = static_cast<double>(rows);
      testing::expect_within(
          by_column.host(), want, [&](std::size_t c) { return 26 * kRoundoff * scale[c] / count; }, "means");
    }
  }
}

TEST_P(ReduceTest, ColumnSumsAgreeWithReference) {
  expect_sums(op(), device(), kCases);
}

TEST_P(ReduceTest, LargeColumnSumsAgreeWithReference) {
  if (skips_large_case()) return;
  expect_sums(op(), device(), kLargeCases);
}

TEST_P(ReduceTest, TotalsAgreeWithReference) {
  const auto& reference = reduce<double>(Device::cpu);
  for (const int64_t n : {0, 1, 15, 16, 17, 1023, 1024, 1025, 4097, 40001}) {
    const auto x = uniform_values(n, 2);
    double want = 0;
    double scale = 0;
    Buffer<float> in(x, device()), total(1, device());
    reference.sum(widened(x).data(), &want, n, nullptr);
    reference.sum(magnitudes(x).data(), &scale, n, nullptr);
    op().sum(in.data(), total.data(), n, nullptr);
    testing::expect_within(
        total.host(), std::vector<double>{want}, [&](std::size_t) { return 69 * kRoundoff * scale; }, "sum");
  }
}

// Addresses that are no multiple of 16 bytes, each column and row with a place of its own.
TEST_P(ReduceTest, AnyAlignment) {
  const auto x = testing::integer_values(12 * 40 + 3, 5, 8);
  Buffer<float> in(x, device()), by_column(40, device()), by_row(12, device()), total(1, device());
  for (const std::size_t offset : {1U, 2U, 3U}) {
    std::vector<double> want_columns(40), want_total(1);
    for (std::size_t i = 0; i < 480; ++i) {
      want_columns[i % 40] += x[i + offset];
      want_total[0] += x[i + offset];
    }
    op().column_sum(in.data() + offset, by_column.data(), 12, 40, nullptr);
    op().sum(in.data() + offset, total.data(), 480, nullptr);
    const auto exact = [](std::size_t) { return 0.0; };
    testing::expect_within(by_column.host(), want_columns, exact, "columns");
    testing::expect_within(total.host(), want_total, exact, "total");
  }
}

TEST_P(ReduceTest, SameBitsInEveryOrderOfThreadsAndBlocks) {
  const auto x = uniform_values(3 * 5000, 6);
  Buffer<float> in(x, device()), out(5001, device()), again(5001, device());
  const auto all_sums = [&](float* y) {
    op().column_sum(in.data(), y, 3, 5000, nullptr);
    op().sum(in.data(), y + 5000, 15000, nullptr);
  };
  all_sums(out.data());
  simt_machine::set_schedule({});  // ascending; means nothing to other devices
  all_sums(again.data());
  testing::expect_same_bits(out.host(), again.host(), "this order and ascending");
}

// Small integers add up exactly whatever the order, so a lost or doubled element cannot hide in the bound.
TEST_P(ReduceTest, SumsOfIntegersAreExact) {
  const int64_t rows = 700;
  const int64_t columns = 37;
  const auto x = testing::integer_values(rows * columns, 3, 8);
  Buffer<float> in(x, device()), by_column(columns, device()), total(1, device());
  std::vector<double> want_columns(static_cast<std::size_t>(columns)), want_total(1);
  const auto& reference = reduce<double>(Device::cpu);
  reference.column_sum(widened(x).data(), want_columns.data(), rows, columns, nullptr);
  reference.sum(widened(x).data(), want_total.data(), rows * columns, nullptr);
  op().column_sum(in.data(), by_column.data(), rows, columns, nullptr);
  op().sum(in.data(), total.data(), rows * columns, nullptr);
  const auto exact = [](std::size_t) { return 0.0; };
  testing::expect_within(by_column.host(), want_columns, exact, "columns");
  testing::expect_within(total.host(), want_total, exact, "total");
}

TEST_P(ReduceTest, AllFiniteFindsOneBadElementAnywhere) {
  for (const int64_t n : {0, 1, 16, 17, 5001}) {
    std::vector<float> x(static_cast<std::size_t>(n), 3e38F);  // finite, though their sum is not
    Buffer<uint8_t> flag(1, device());
    Buffer<float> good(x, device());
    op().all_finite(good.data(), flag.data(), n, nullptr);
    EXPECT_EQ(flag.host()[0], 1) << n;
    for (const std::size_t where : {std::size_t{0}, x.size() / 2, x.size() - 1}) {
      if (n == 0) break;
      for (const float bad : {NAN, INFINITY, -INFINITY}) {
        auto y = x;
        y[where] = bad;
        Buffer<float> in(y, device());
        op().all_finite(in.data(), flag.data(), n, nullptr);
        EXPECT_EQ(flag.host()[0], 0) << bad << " at " << where << " of " << n;
        uint8_t want = 1;
        reduce<double>(Device::cpu).all_finite(widened(y).data(), &want, n, nullptr);
        EXPECT_EQ(want, 0);
      }
    }
  }
}

TEST_P(ReduceTest, SameBitsForAnyNumberOfThreads) {
  if (device() != Device::cpu) GTEST_SKIP() << "threads are the cpu's";
  const auto x = uniform_values(20000 * 40, 4);
  testing::expect_same_bits_for_any_threads([&] {
    std::vector<float> y(41);
    const auto& table = reduce<float>(Device::cpu);
    table.column_sum(x.data(), y.data(), 20000, 40, nullptr);
    table.sum(x.data(), y.data() + 40, 20000 * 40, nullptr);
    return y;
  });
}

MT_ON_EVERY_DEVICE(ReduceTest, Reduce<float>);

}  // namespace
}  // namespace mt
