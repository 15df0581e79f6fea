#include "train/figures/ranking.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <tuple>

#include "tensor/rng.h"

namespace mt::train {
namespace {

TEST(SortKeysTest, SortsAnyNumberOfKeys) {
  RandomStream random(1, Purpose::test);
  for (const std::size_t n : {0, 1, 2, 2047, 2048, 2049, 50000}) {
    for (const int shift : {0, 29, 40, 63}) {  // low digits that all keys share
      std::vector<uint64_t> keys(n);
      for (uint64_t& key : keys) {
        key = random.next64() >> shift << shift;
      }
      auto want = keys;
      std::sort(want.begin(), want.end());
      sort_keys(keys);
      EXPECT_EQ(keys, want) << n << " keys, shift " << shift;
    }
  }
}

TEST(SortKeysTest, KeysThatAreAllTheSame) {
  std::vector<uint64_t> keys(5000, 77);
  sort_keys(keys);
  EXPECT_EQ(keys, std::vector<uint64_t>(5000, 77));
}

TEST(RankingTest, StepsAreTheCountsAboveEachDistinctScore) {
  RandomStream random(2, Purpose::test);
  std::vector<int> labels(6000);
  std::vector<double> scores(6000);
  for (std::size_t i = 0; i < labels.size(); ++i) {
    labels[i] = random.chance(0.3F) ? 1 : 0;
    scores[i] = std::round(400 * (static_cast<double>(random.uniform()) - 0.5)) / 7;  // ties, both signs
  }
  scores[0] = -0.0;
  scores[1] = HUGE_VAL;
  scores[2] = -HUGE_VAL;
  std::vector<double> distinct = scores;
  std::sort(distinct.begin(), distinct.end(), std::greater<>());
  distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
  std::vector<std::tuple<double, int64_t, int64_t>> want, got;
  for (const double score : distinct) {
    int64_t called[2] = {0, 0};
    for (std::size_t i = 0; i < labels.size(); ++i) called[labels[i]] += scores[i] >= score ? 1 : 0;
    want.emplace_back(score, called[1], called[0]);
  }
  const Ranking ranking(labels, scores);
  ranking.for_each_step([&](double score, int64_t true_positives, int64_t false_positives) {
    got.emplace_back(score, true_positives, false_positives);
  });
  EXPECT_EQ(got, want);
}

TEST(RankingTest, NothingHasNoSteps) {
  Ranking({}, {}).for_each_step([](double, int64_t, int64_t) { FAIL(); });
}

}  // namespace
}  // namespace mt::train
