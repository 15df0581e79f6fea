#include "kernels/gather/gather.h"

#include <array>

#include "kernels/device/device.h"
#include "tensor/check.h"
#include "tests/harness/error_of.h"
#include "tests/harness/kernel_test.h"
#include "tests/harness/reference_check.h"

namespace mt {
namespace {

using testing::Buffer;
using testing::uniform_values;
using testing::widened;

std::vector<int64_t> random_indices(int64_t count, int64_t rows, uint64_t seed) {
  RandomStream random(seed, Purpose::test);
  std::vector<int64_t> indices(static_cast<std::size_t>(count));
  for (auto& index : indices) index = static_cast<int64_t>(random.below(static_cast<uint64_t>(rows)));
  return indices;
}

// {rows, columns, count}: one; few; many sources for a row; none; several blocks; rows without columns; more
// than one row to an owner of the CUDA version and a last owner with fewer; columns beyond one strip of its
// threads.
constexpr std::array<int64_t, 3> kCases[] = {{1, 1, 1},     {5, 7, 3},      {4, 16, 50},
                                             {10, 3, 0},    {90, 33, 1000}, {3, 0, 4},
                                             {520, 3, 530}, {7, 520, 30},   {2, 130, 9}};

class GatherTest : public testing::KernelTest {
 protected:
  const Gather<float>& op() const { return version_of(gather<float>(device())); }
};

TEST_P(GatherTest, RowsAreCopiedExactly) {
  for (const auto& [rows, columns, count] : kCases) {
    const auto x = uniform_values(rows * columns, 1);
    const auto indices = random_indices(count, rows, 2);
    std::vector<double> want(static_cast<std::size_t>(count * columns));
    gather<double>(Device::cpu)
        .rows(widened(x).data(), indices.data(), want.data(), rows, columns, count, nullptr);
    Buffer<float> in(x, device()), y(count * columns, device());
    Buffer<int64_t> index(indices, device());
    op().rows(in.data(), index.data(), y.data(), rows, columns, count, nullptr);
    testing::expect_within(
        y.host(), want, [](std::size_t) { return 0.0; }, "y");
  }
}

TEST_P(GatherTest, ScatterAddAddsInTheOrderOfTheIndices) {
  for (const auto& [rows, columns, count] : kCases) {
    const auto y = uniform_values(count * columns, 3);
    const auto before = uniform_values(rows * columns, 4);
    const auto indices = random_indices(count, rows, 5);
    auto in_order = before;  // float sums in the contract's order: bitwise what must come out
    for (int64_t i = 0; i < count * columns; ++i) {
      const int64_t target = indices[static_cast<std::size_t>(i / columns)] * columns + i % columns;
      in_order[static_cast<std::size_t>(target)] += y[static_cast<std::size_t>(i)];
    }
    auto want = widened(before);
    gather<double>(Device::cpu)
        .scatter_add_rows(widened(y).data(), indices.data(), want.data(), rows, columns, count, nullptr);
    Buffer<float> y_in(y, device()), x(before, device());
    Buffer<int64_t> index(indices, device());
    op().scatter_add_rows(y_in.data(), index.data(), x.data(), rows, columns, count, nullptr);
    testing::expect_same_bits(x.host(), in_order, "x");
    // gather.md: k u (|x| + Σ|y|) with k <= count and both sums at most 1 + count.
    const auto terms = static_cast<double>(count);
    testing::expect_within(
        x.host(), want, [&](std::size_t) { return testing::kRoundoff * terms * (1 + terms); }, "x");
  }
}

TEST_P(GatherTest, AnIndexOutsideIsAnErrorAndWritesNothing) {
  Buffer<float> x({1, 2, 3, 4}, device()), y({9, 9, 9, 9}, device());
  for (const int64_t wrong : {int64_t{-1}, int64_t{2}, INT64_MAX}) {
    Buffer<int64_t> index({0, wrong}, device());
    const auto gather = [&] {
      op().rows(x.data(), index.data(), y.data(), 2, 2, 2, nullptr);
      synchronize(device());
    };
    const auto scatter = [&] {
      op().scatter_add_rows(x.data(), index.data(), y.data(), 2, 2, 2, nullptr);
      synchronize(device());
    };
    EXPECT_THROW(gather(), Error);
    EXPECT_THROW(scatter(), Error);
  }
  EXPECT_EQ(y.host(), (std::vector<float>{9, 9, 9, 9}));
}

TEST_P(GatherTest, TheErrorNamesTheFirstIndexOutside) {
  std::vector<int64_t> indices(300, 1);
  indices[299] = -7;
  indices[141] = 2;
  Buffer<float> x({1, 2}, device()), y(300, device());
  Buffer<int64_t> index(indices, device());
  const std::string which = device() == Device::cuda ? "the index" : "index 2";  // cuda says it later
  EXPECT_EQ(error_of([&] {
              op().rows(x.data(), index.data(), y.data(), 2, 1, 300, nullptr);
              synchronize(device());
            }),
            "gather: " + which + " at 141 is outside of [0, 2)");
}

TEST_P(GatherTest, AnyAlignment) {
  const auto x = uniform_values(5 * 8 + 1, 10);
  const auto y = uniform_values(3 * 8, 11);
  const std::vector<int64_t> indices{4, 0, 4};
  Buffer<float> in(x, device()), out(3 * 8, device()), terms(y, device());
  Buffer<int64_t> index(indices, device());
  op().rows(in.data() + 1, index.data(), out.data(), 5, 8, 3, nullptr);
  auto want = x;
  const auto got = out.host();
  for (std::size_t i = 0; i < 24; ++i) {
    const auto place = static_cast<std::size_t>(indices[i / 8]) * 8 + i % 8 + 1;
    EXPECT_EQ(got[i], x[place]);
    want[place] += y[i];
  }
  op().scatter_add_rows(terms.data(), index.data(), in.data() + 1, 5, 8, 3, nullptr);
  testing::expect_same_bits(in.host(), want, "x");
}

TEST_P(GatherTest, SameBitsForAnyNumberOfThreads) {
  if (device() != Device::cpu) GTEST_SKIP() << "threads are the cpu's";
  const auto y = uniform_values(2000 * 300, 6);
  const auto indices = random_indices(2000, 100, 7);
  testing::expect_same_bits_for_any_threads([&] {
    std::vector<float> x(100 * 300);
    gather<float>(Device::cpu).scatter_add_rows(y.data(), indices.data(), x.data(), 100, 300, 2000, nullptr);
    return x;
  });
}

TEST(GatherReferenceTest, ScatterAddIsTheGradient) {
  const auto x = widened(uniform_values(4 * 3, 8));
  const auto weights = widened(uniform_values(6 * 3, 9));
  const std::vector<int64_t> indices{3, 0, 0, 2, 3, 0};
  std::vector<double> dx(x.size());
  gather<double>(Device::cpu).scatter_add_rows(weights.data(), indices.data(), dx.data(), 4, 3, 6, nullptr);
  const auto loss = [&](const std::vector<double>& v) {
    std::vector<double> y(weights.size());
    gather<double>(Device::cpu).rows(v.data(), indices.data(), y.data(), 4, 3, 6, nullptr);
    return testing::dot(y, weights);
  };
  testing::expect_gradient(loss, x, dx, "dx");
}

MT_ON_EVERY_DEVICE(GatherTest, Gather<float>);

}  // namespace
}  // namespace mt
