#include "kernels/device/device.h"
#include "kernels/gather/gather_problems.h"
#include "tests/harness/error_of.h"
#include "tests/harness/problem_test.h"

namespace mt {
namespace {

using testing::Buffer;

MT_PROBLEM_TESTS(Gather, gather, gather_problems());

TEST_P(GatherProblems, ScatterAddAddsInTheOrderOfTheIndices) {
  const auto y = problem_values(1000 * 33, 3);
  const auto before = problem_values(90 * 33, 4);
  const auto indices = random_indices(1000, 90, 5);
  auto in_order = before;  // float sums in the contract's order: bitwise what must come out
  for (int64_t i = 0; i < 1000 * 33; ++i) {
    in_order[static_cast<std::size_t>(indices[static_cast<std::size_t>(i / 33)] * 33 + i % 33)] +=
        y[static_cast<std::size_t>(i)];
  }
  Buffer<float> y_in(y, device()), x(before, device());
  Buffer<int64_t> index(indices, device());
  op().scatter_add_rows(y_in.data(), index.data(), x.data(), 90, 33, 1000, nullptr);
  testing::expect_same_bits(x.host(), in_order, "x");
}

TEST_P(GatherProblems, AnIndexOutsideIsAnErrorAndWritesNothing) {
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

TEST_P(GatherProblems, TheErrorNamesTheFirstIndexOutside) {
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

}  // namespace
}  // namespace mt
