#include "kernels/select/select_problems.h"
#include "tests/harness/golden.h"
#include "tests/harness/problem_test.h"
#include "tests/harness/reference_check.h"

namespace mt {
namespace {

MT_PROBLEM_TESTS(Select, select, select_problems());

TEST_P(SelectProblems, ValuesAreTheScoresAsTheyAre) {
  testing::Buffer<float> scores({-0.0F, 0.0F, -1}, device()), values(2, device());
  testing::Buffer<int64_t> indices(2, device());
  EXPECT_EQ(op().top_k(scores.data(), nullptr, 3, 2, indices.data(), values.data(), nullptr), 2);
  testing::expect_same_bits(values.host(), std::vector<float>{-0.0F, 0.0F}, "zeros of both signs");
}

TEST(SelectGoldenTest, QuantilesAndTopTen) {
  const auto& op = select<double>(Device::cpu);
  const std::vector<double> levels{0, 0.1, 0.2, 0.25, 0.5, 0.8, 0.9, 1};
  for (const std::string name : {"cont200", "ties200", "ties37", "ties5000", "cont20", "const30"}) {
    const auto scores = testing::golden_values<double>("metrics.npz", name + "_s");
    const auto n = static_cast<int64_t>(scores.size());
    std::vector<double> quantiles(levels.size()), top(10);
    std::vector<int64_t> indices(10);
    op.quantiles(scores.data(), nullptr, n, levels.data(), quantiles.data(), 8, nullptr);
    op.top_k(scores.data(), nullptr, n, 10, indices.data(), top.data(), nullptr);
    testing::expect_close(quantiles, testing::golden_values<double>("metrics.npz", name + "_quantiles"),
                          name);
    EXPECT_EQ(top, testing::golden_values<double>("metrics.npz", name + "_top10_values")) << name;
  }
}

}  // namespace
}  // namespace mt
