#include "kernels/rank_loss/rank_loss.h"

#include <algorithm>

#include "tests/harness/error_of.h"
#include "tests/harness/golden.h"
#include "tests/harness/kernel_test.h"
#include "tests/harness/reference_check.h"

namespace mt {
namespace {

using testing::Buffer;

template <typename T>
struct Result {
  std::vector<T> loss, dlogits;
  std::vector<int64_t> selected;
};

template <typename T>
Result<T> run(const RankLoss<T>& op, const std::vector<T>& logits, const std::vector<int64_t>& offsets,
              int64_t top, Device device = Device::cpu) {
  const int64_t pairs = static_cast<int64_t>(offsets.size()) / 2;
  Buffer<T> in(logits, device), loss(pairs, device), dlogits(offsets.back(), device);
  Buffer<T> dloss(std::vector<T>(static_cast<std::size_t>(pairs), T{0.75}), device);
  Buffer<int64_t> selected(2 * pairs * top, device);
  op.forward(in.data(), offsets.data(), pairs, top, loss.data(), selected.data(), nullptr);
  op.backward(loss.data(), dloss.data(), offsets.data(), selected.data(), pairs, top, dlogits.data(),
              nullptr);
  return {loss.host(), dlogits.host(), selected.host()};
}

/// The same from the entry that does both at once.
template <typename T>
Result<T> run_at_once(const RankLoss<T>& op, const std::vector<T>& logits,
                      const std::vector<int64_t>& offsets, int64_t top, Device device = Device::cpu) {
  const int64_t pairs = static_cast<int64_t>(offsets.size()) / 2;
  Buffer<T> in(logits, device), loss(pairs, device), dlogits(offsets.back(), device);
  Buffer<T> dloss(std::vector<T>(static_cast<std::size_t>(pairs), T{0.75}), device);
  Buffer<int64_t> selected(2 * pairs * top, device);
  op.forward(in.data(), offsets.data(), pairs, top, loss.data(), selected.data(), nullptr);
  op.backward(loss.data(), dloss.data(), offsets.data(), selected.data(), pairs, top, dlogits.data(),
              nullptr);
  return {loss.host(), dlogits.host(), selected.host()};
}

class RankLossTest : public testing::KernelTest {
 protected:
  const RankLoss<float>& op() const { return version_of(rank_loss<float>(device())); }

  void expect_agreement(const std::vector<float>& logits, const std::vector<int64_t>& offsets, int64_t top) {
    const auto want = run<double>(rank_loss<double>(Device::cpu), testing::widened(logits), offsets, top);
    const auto got = run<float>(op(), logits, offsets, top, device());
    EXPECT_EQ(got.selected, want.selected) << "top " << top;
    // rank_loss.md: the means are summed in double, the result is rounded once.
    testing::expect_relative(got.loss, want.loss, 2, "loss", 1);
    testing::expect_relative(got.dlogits, want.dlogits, 1, "dlogits");
    const auto at_once = run_at_once<float>(op(), logits, offsets, top, device());
    EXPECT_EQ(at_once.selected, got.selected) << "top " << top;
    testing::expect_same_bits(at_once.loss, got.loss, "loss at once");
    testing::expect_same_bits(at_once.dlogits, got.dlogits, "dlogits at once");
  }
};

TEST_P(RankLossTest, RaggedBagsAgreeWithReference) {
  const std::vector<int64_t> offsets{0, 1, 3, 40, 1040, 1057, 1067, 1077, 1100};  // bags of 1 to 1000
  for (const int64_t top : {1, 2, 10, 64, 2000})
    expect_agreement(testing::uniform_values(1100, 1, -2, 2), offsets, top);
  expect_agreement({}, {0}, 10);
}

TEST_P(RankLossTest, TiesPreferTheSmallerIndex) {
  const std::vector<int64_t> offsets{0, 300, 500};
  expect_agreement(testing::integer_values(500, 2, 2), offsets, 10);
  const auto got = run<float>(op(), {1, 5, 5, 5, 0, 0}, {0, 4, 6}, 2, device());
  EXPECT_EQ(got.selected, (std::vector<int64_t>{1, 2, 0, 1}));
}

TEST_P(RankLossTest, SmallBagsUseAllTheyHave) {
  const auto got = run<float>(op(), {2, 4, 3.5F}, {0, 2, 3}, 10, device());
  EXPECT_FLOAT_EQ(got.loss[0], 1 - 3.0F + 3.5F);
  EXPECT_EQ(got.selected[2], -1);
  EXPECT_EQ(got.dlogits, (std::vector<float>{-0.375F, -0.375F, 0.75F}));
}

TEST_P(RankLossTest, RankedPairsGetNoGradient) {
  const auto got =
      run<float>(op(), {5, 4}, {0, 1, 2}, 10, device());  // apart by the margin exactly: the kink
  EXPECT_EQ(got.loss[0], 0.0F);
  EXPECT_EQ(got.dlogits, (std::vector<float>{0, 0}));
  EXPECT_EQ(run_at_once<float>(op(), {5, 4}, {0, 1, 2}, 10, device()).dlogits, (std::vector<float>{0, 0}));
}

TEST_P(RankLossTest, NanAndEmptyBagsAreErrors) {
  EXPECT_EQ(error_of([&] {
              run<float>(op(), {1, 2, NAN, 3}, {0, 2, 4}, 10, device());
            }),
            "rank_loss: the logit of row 2 is NaN");
  EXPECT_EQ(error_of([&] {
              run_at_once<float>(op(), {1, 2, NAN, 3}, {0, 2, 4}, 10, device());
            }),
            "rank_loss: the logit of row 2 is NaN");
  EXPECT_EQ(error_of([&] {
              run_at_once<float>(op(), {1, 2}, {0, 2, 2}, 10, device());
            }),
            "rank_loss: the bag that starts at row 2 is empty");
  EXPECT_EQ(error_of([&] {
              run<float>(op(), {1, 2}, {0, 2, 2}, 10, device());
            }),
            "rank_loss: the bag that starts at row 2 is empty");
}

TEST_P(RankLossTest, AnyNumberOfChosenInstances) {
  // The GPU sorts up to 2,048 in shared memory.
  const auto logits = testing::integer_values(2103, 3, 500);
  expect_agreement(logits, {0, 3, 2103}, 2048);
  expect_agreement(logits, {0, 3, 2103}, 2049);
}

TEST_P(RankLossTest, TiesOfAnyKindOfFloat) {
  std::vector<float> logits(300, 1e-45F);
  for (std::size_t i = 0; i < logits.size(); i += 3) logits[i] = i % 2 == 0 ? -0.0F : 0.0F;
  logits[250] = HUGE_VALF;
  logits[10] = -HUGE_VALF;
  expect_agreement(logits, {0, 190, 200}, 150);
  const auto got = run<float>(op(), logits, {0, 200, 300}, 190, device());
  EXPECT_EQ(got.loss[0], HUGE_VALF);
}

TEST_P(RankLossTest, SameBitsForAnyNumberOfThreads) {
  if (device() != Device::cpu) GTEST_SKIP() << "threads are the cpu's";
  std::vector<int64_t> offsets{0};
  for (int64_t bag = 0; bag < 40; ++bag) offsets.push_back(offsets.back() + 20 + bag % 7);
  const auto logits = testing::uniform_values(offsets.back(), 4);
  testing::expect_same_bits_for_any_threads([&] {
    auto got = run<float>(rank_loss<float>(Device::cpu), logits, offsets, 10);
    got.dlogits.insert(got.dlogits.end(), got.loss.begin(), got.loss.end());
    return got.dlogits;
  });
}

MT_ON_EVERY_DEVICE(RankLossTest, RankLoss<float>);

TEST(RankLossReferenceTest, BackwardAgreesWithFiniteDifferences) {
  const std::vector<int64_t> offsets{0, 12, 30, 33, 37};
  const auto logits = testing::widened(testing::uniform_values(37, 5));
  const auto loss = [&](const std::vector<double>& x) {
    double sum = 0;
    for (const double value : run<double>(rank_loss<double>(Device::cpu), x, offsets, 4).loss)
      sum += 0.75 * value;
    return sum;
  };
  testing::expect_gradient(
      loss, logits, run<double>(rank_loss<double>(Device::cpu), logits, offsets, 4).dlogits, "dlogits");
}

TEST(RankLossReferenceTest, WithGradientIsForwardAndBackward) {
  const std::vector<int64_t> offsets{0, 12, 30, 33, 37, 38, 39};
  auto logits = testing::widened(testing::uniform_values(39, 6));
  logits[37] = logits[38] + 2;  // a ranked pair: no gradient
  const auto want = run<double>(rank_loss<double>(Device::cpu), logits, offsets, 4);
  const auto got = run_at_once<double>(rank_loss<double>(Device::cpu), logits, offsets, 4);
  EXPECT_EQ(got.loss, want.loss);
  EXPECT_EQ(got.selected, want.selected);
  EXPECT_EQ(got.dlogits, want.dlogits);
}

TEST(RankLossGoldenTest, PairOfTheDsmilStep) {
  auto logits = testing::golden_values<double>("dsmil.npz", "small_pos_ins_f64");
  const auto negative = testing::golden_values<double>("dsmil.npz", "small_neg_ins_f64");
  const std::vector<int64_t> offsets{0, 50, 87};
  logits.insert(logits.end(), negative.begin(), negative.end());
  const auto got = run<double>(rank_loss<double>(Device::cpu), logits, offsets, 10);
  EXPECT_NEAR(got.loss[0], testing::golden_values<double>("dsmil.npz", "small_rank_f64")[0], 1e-9);
  auto want = testing::golden_values<int64_t>("dsmil.npz", "small_pos_topk_f64");
  const auto second = testing::golden_values<int64_t>("dsmil.npz", "small_neg_topk_f64");
  want.insert(want.end(), second.begin(), second.end());
  EXPECT_EQ(got.selected, want);
}

}  // namespace
}  // namespace mt
