#include "train/figures/metrics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <string>

#include "tensor/io/npz.h"
#include "tests/harness/error_of.h"
#include "tests/harness/places.h"

namespace mt::train {
namespace {

// Every figure is a few sums of at most 5,000 terms in [0, 1], numpy's in another order.
constexpr double kSumTolerance = 5000 * 0x1p-53;

class GoldenMetrics : public ::testing::TestWithParam<const char*> {
 protected:
  GoldenMetrics() : file_(testing::golden_path("metrics.npz")), name_(GetParam()) {
    const Tensor labels = get("y");  // (items)
    const Tensor scores = get("s");  // (items)
    for (const int64_t label : labels.span<int64_t>()) labels_.push_back(static_cast<int>(label));
    scores_.assign(scores.span<double>().begin(), scores.span<double>().end());
  }

  Tensor get(const std::string& what) const { return file_[name_ + "_" + what]; }
  void expect(const std::string& what, const std::vector<double>& actual) const {
    SCOPED_TRACE(name_ + " " + what);
    const Tensor tensor = get(what);
    const auto expected = tensor.span<double>();
    ASSERT_EQ(actual.size(), expected.size());
    for (std::size_t i = 0; i < actual.size(); ++i) {
      ASSERT_TRUE(std::abs(actual[i] - expected[i]) <= kSumTolerance)
          << i << ": " << actual[i] << " for " << expected[i];
    }
  }

  NpzFile file_;
  std::string name_;
  std::vector<int> labels_;
  std::vector<double> scores_;
};

TEST_P(GoldenMetrics, Curves) {
  const auto dropped = roc_curve(labels_, scores_);
  expect("roc_fpr", dropped->false_positive_rate);
  expect("roc_tpr", dropped->true_positive_rate);
  expect("roc_thr", dropped->thresholds);
  const auto all = roc_curve(labels_, scores_, false);
  expect("rocall_fpr", all->false_positive_rate);
  expect("rocall_tpr", all->true_positive_rate);
  expect("rocall_thr", all->thresholds);
  const auto curve = precision_recall_curve(labels_, scores_);
  expect("pr_p", curve->precision);
  expect("pr_r", curve->recall);
  expect("pr_thr", curve->thresholds);
}

TEST_P(GoldenMetrics, Figures) {
  expect("auc", {*auc(labels_, scores_)});
  expect("ap", {*average_precision(labels_, scores_)});
  expect("auprc_trapz", {*trapezoid_auprc(labels_, scores_)});
  const OperatingPoint point = *youden_threshold(labels_, scores_);
  expect("optimal_fpr_tpr_thr", {point.false_positive_rate, point.true_positive_rate, point.threshold});
  const FiveScores five = *five_scores(labels_, scores_);
  expect("five_scores", {five.accuracy, five.auc, five.precision, five.recall, five.f1});
  const F1Point best = *max_f1_threshold(labels_, scores_);
  expect("maxf1_thr_f1_p_r", {best.threshold, best.f1, best.precision, best.recall});
}

TEST_P(GoldenMetrics, ConfusionOfRoundedScores) {
  std::vector<double> rounded;
  for (const double score : scores_) rounded.push_back(std::nearbyint(score));  // half to even, as np.round
  const Confusion counts = confusion_at(labels_, rounded, 1);
  const Tensor matrix = get("cm_round");  // (2,2): rows are the truth
  const auto expected = matrix.span<int64_t>();
  EXPECT_EQ(counts.true_negative, expected[0]);
  EXPECT_EQ(counts.false_positive, expected[1]);
  EXPECT_EQ(counts.false_negative, expected[2]);
  EXPECT_EQ(counts.true_positive, expected[3]);
}

TEST_P(GoldenMetrics, QuantilesAndOrder) {
  std::vector<double> quantiles;
  for (const double q : {0.0, 0.1, 0.2, 0.25, 0.5, 0.8, 0.9, 1.0}) quantiles.push_back(quantile(scores_, q));
  expect("quantiles", quantiles);
  std::vector<double> sorted = scores_;
  std::sort(sorted.begin(), sorted.end(), std::greater<>());
  expect("top10_values", std::vector<double>(sorted.begin(), sorted.begin() + 10));
}

INSTANTIATE_TEST_SUITE_P(All, GoldenMetrics,
                         ::testing::Values("cont200", "ties200", "ties37", "ties5000", "cont20", "const30"),
                         [](const auto& test) { return std::string(test.param); });

TEST(MetricsTest, UndefinedWithOneClass) {
  const std::vector<int> negatives{0, 0, 0};
  const std::vector<int> positives{1, 1, 1};
  const std::vector<double> scores{0.1, 0.2, 0.3};
  EXPECT_FALSE(auc(negatives, scores));
  EXPECT_FALSE(auc(positives, scores));
  EXPECT_FALSE(roc_curve(positives, scores));
  EXPECT_FALSE(five_scores(negatives, scores));
  EXPECT_FALSE(average_precision(negatives, scores));
  EXPECT_FALSE(max_f1_threshold(negatives, scores));
  EXPECT_EQ(average_precision(positives, scores), 1.0);
  EXPECT_FALSE(auc({}, {}));
}

TEST(MetricsTest, RefusesBadInput) {
  EXPECT_EQ(error_of([] {
              (void)auc(std::vector<int>{0, 1}, std::vector<double>{0.1});
            }),
            "metrics: 2 labels for 1 scores");
  EXPECT_EQ(error_of([] {
              (void)auc(std::vector<int>{0, 2}, std::vector<double>{0.1, 0.2});
            }),
            "metrics: label 2 of item 1; only 0 and 1 are known");
  EXPECT_EQ(error_of([] {
              (void)auc(std::vector<int>{0, 1}, std::vector<double>{0.1, NAN});
            }),
            "metrics: the score of item 1 is NaN");
}

TEST(MetricsTest, AucCountsEveryPairAsTheDefinitionSays) {
  const std::vector<int> labels{1, 0, 1, 0, 0, 1, 0};
  const std::vector<double> scores{3, 3, 1, 0, 2, 2, 1};
  double wins = 0;
  double pairs = 0;
  for (std::size_t p = 0; p < labels.size(); ++p) {
    for (std::size_t n = 0; n < labels.size(); ++n) {
      if (labels[p] != 1 || labels[n] != 0) continue;
      wins += scores[p] > scores[n] ? 1 : scores[p] == scores[n] ? 0.5 : 0;
      ++pairs;
    }
  }
  EXPECT_EQ(*auc(labels, scores), wins / pairs);
}

}  // namespace
}  // namespace mt::train
