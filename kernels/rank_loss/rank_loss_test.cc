#include "kernels/rank_loss/rank_loss_problems.h"
#include "tests/harness/golden.h"
#include "tests/harness/problem_test.h"

namespace mt {
namespace {

MT_PROBLEM_TESTS(RankLoss, rank_loss, rank_loss_problems());

TEST(RankLossGoldenTest, PairOfTheDsmilStep) {
  auto logits = testing::golden_values<double>("dsmil.npz", "small_pos_ins_f64");
  const auto negative = testing::golden_values<double>("dsmil.npz", "small_neg_ins_f64");
  const std::vector<int64_t> offsets{0, 50, 87};
  logits.insert(logits.end(), negative.begin(), negative.end());
  double loss = 0;
  std::vector<int64_t> selected(20);
  rank_loss<double>(Device::cpu)
      .forward(logits.data(), offsets.data(), 1, 10, &loss, selected.data(), nullptr);
  EXPECT_NEAR(loss, testing::golden_values<double>("dsmil.npz", "small_rank_f64")[0], 1e-9);
  auto want = testing::golden_values<int64_t>("dsmil.npz", "small_pos_topk_f64");
  const auto second = testing::golden_values<int64_t>("dsmil.npz", "small_neg_topk_f64");
  want.insert(want.end(), second.begin(), second.end());
  EXPECT_EQ(selected, want);
}

}  // namespace
}  // namespace mt
