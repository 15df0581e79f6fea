#include "train/figures/intervals.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tensor/parallel.h"
#include "tensor/rng.h"
#include "train/figures/metrics.h"

namespace mt::train {
namespace {

struct Data {
  std::vector<int> labels;
  std::vector<double> scores;
};

// Normal scores; the positives are `shift` standard deviations higher, so the true AUC is Phi(shift / sqrt
// 2).
Data normal_data(int64_t positives, int64_t negatives, float shift, uint64_t item) {
  RandomStream random(11, Purpose::test, 0, item);
  Data data;
  for (int64_t i = 0; i < positives + negatives; ++i) {
    data.labels.push_back(i < positives ? 1 : 0);
    data.scores.push_back(random.normal() + (i < positives ? shift : 0.0F));
  }
  return data;
}

TEST(IntervalTest, FastAucAgreesWithTheGeneralBootstrap) {
  const Data data = normal_data(20, 30, 1, 0);
  const Interval fast = *auc_interval(data.labels, data.scores, {500, 3});
  const Interval general = *bootstrap_interval(data.labels, data.scores, auc, {500, 3});
  EXPECT_EQ(fast.low, general.low);
  EXPECT_EQ(fast.high, general.high);
  EXPECT_LT(fast.low, *auc(data.labels, data.scores));
  EXPECT_GT(fast.high, *auc(data.labels, data.scores));
  EXPECT_EQ(fast.method, "stratified bootstrap, 500 resamples, seed 3");
}

// The true AUC for a shift of 1 is Phi(1/sqrt 2) = 0.7602. Of 200 intervals about 190 should hold it; the
// percentile bootstrap of 60 items is a little narrow, 5 standard deviations of a binomial at 0.92 are 19.
TEST(IntervalTest, CoversTheTrueAuc) {
  const double truth = 0.5 * std::erfc(-0.5);
  int covered = 0;
  for (uint64_t trial = 0; trial < 200; ++trial) {
    const Data data = normal_data(30, 30, 1, trial);
    const Interval interval = *auc_interval(data.labels, data.scores, {300, trial});
    covered += interval.low <= truth && truth <= interval.high ? 1 : 0;
  }
  EXPECT_GE(covered, 165);
  EXPECT_LT(covered, 200);
}

TEST(IntervalTest, SameForAnyNumberOfThreads) {
  const Data data = normal_data(40, 50, 0.5, 7);
  const int before = thread_count();
  set_thread_count(1);
  const Interval one = *auc_interval(data.labels, data.scores);
  set_thread_count(3);
  const Interval three = *auc_interval(data.labels, data.scores);
  set_thread_count(before);
  EXPECT_EQ(one.low, three.low);
  EXPECT_EQ(one.high, three.high);
}

TEST(IntervalTest, PerfectSeparationGivesAnExactBound) {
  const std::vector<int> labels{0, 0, 0, 1, 1};
  const std::vector<double> scores{0.1, 0.2, 0.3, 0.8, 0.9};
  const Interval interval = *auc_interval(labels, scores);
  EXPECT_DOUBLE_EQ(interval.low, std::sqrt(0.05));  // two disjoint pairs
  EXPECT_EQ(interval.high, 1);
  EXPECT_NE(interval.method.find("one-sided"), std::string::npos);
  const std::vector<double> reversed{0.9, 0.8, 0.7, 0.2, 0.1};
  const Interval opposite = *auc_interval(labels, reversed);
  EXPECT_EQ(opposite.low, 0);
  EXPECT_DOUBLE_EQ(opposite.high, 1 - std::sqrt(0.05));
  // Both positives are of one patient: only one independent pair is left.
  const std::vector<std::string> cases{"a", "b", "c", "d", "d"};
  EXPECT_DOUBLE_EQ(auc_interval(labels, scores, {}, cases)->low, 0.05);
}

TEST(IntervalTest, ClusteringWidensWhenSlidesOfAPatientAgree) {
  Data data;
  std::vector<std::string> cases;
  const Data patients = normal_data(12, 12, 1, 3);
  for (std::size_t patient = 0; patient < patients.labels.size(); ++patient) {
    for (int slide = 0; slide < 8; ++slide) {
      data.labels.push_back(patients.labels[patient]);
      data.scores.push_back(patients.scores[patient]);
      cases.push_back("patient " + std::to_string(patient));
    }
  }
  const Interval slides = *auc_interval(data.labels, data.scores);
  const Interval clustered = *auc_interval(data.labels, data.scores, {}, cases);
  EXPECT_GT(clustered.high - clustered.low, 2 * (slides.high - slides.low));  // sqrt 8 in theory
  EXPECT_NE(clustered.method.find("case-clustered"), std::string::npos);
}

TEST(IntervalTest, SaysWhenItIsUndefinedOrCollapsed) {
  const std::vector<double> scores{0.1, 0.2};
  EXPECT_FALSE(auc_interval(std::vector<int>{1, 1}, scores));
  EXPECT_FALSE(bootstrap_interval(std::vector<int>{0, 0}, scores, average_precision));
  const Interval perfect = *bootstrap_interval(std::vector<int>{0, 1}, scores, average_precision);
  EXPECT_NE(perfect.method.find("collapsed"), std::string::npos);
}

// Wilson's interval for 8 of 10, from its closed form evaluated by hand: (0.4902, 0.9433).
TEST(IntervalTest, WilsonDoesNotCollapse) {
  const Interval some = *proportion_interval(8, 10);
  EXPECT_NEAR(some.low, 0.4902, 5e-5);
  EXPECT_NEAR(some.high, 0.9433, 5e-5);
  const Interval all = *proportion_interval(10, 10);
  EXPECT_NEAR(all.low, 1 / (1 + 1.959963984540054 * 1.959963984540054 / 10), 1e-12);
  EXPECT_EQ(all.high, 1);
  EXPECT_FALSE(proportion_interval(0, 0));
}

}  // namespace
}  // namespace mt::train
