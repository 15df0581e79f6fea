#include "tensor/rng.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <vector>

namespace mt {
namespace {

// Known answers of Random123 1.09's kat_vectors for philox4x32-10.
TEST(RngTest, PhiloxMatchesKnownAnswers) {
  EXPECT_EQ(philox({0, 0, 0, 0}, {0, 0}),
            (std::array<uint32_t, 4>{0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8}));
  EXPECT_EQ(philox({0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF}, {0xFFFFFFFF, 0xFFFFFFFF}),
            (std::array<uint32_t, 4>{0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD}));
  EXPECT_EQ(philox({0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344}, {0xA4093822, 0x299F31D0}),
            (std::array<uint32_t, 4>{0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1}));
}

TEST(RngTest, StreamsDifferByEveryPartOfTheirName) {
  const uint64_t first = RandomStream(1, Purpose::augment, 0, 7).next64();
  EXPECT_EQ(first, RandomStream(1, Purpose::augment, 0, 7).next64());
  EXPECT_NE(first, RandomStream(2, Purpose::augment, 0, 7).next64());
  EXPECT_NE(first, RandomStream(1, Purpose::shuffle, 0, 7).next64());
  EXPECT_NE(first, RandomStream(1, Purpose::augment, 1, 7).next64());
  EXPECT_NE(first, RandomStream(1, Purpose::augment, 0, 8).next64());
  EXPECT_NE(patch_key("a", 1, 2), patch_key("a", 2, 1));
}

TEST(RngTest, BelowIsUniformAndShufflePermutes) {
  RandomStream random(3, Purpose::test);
  std::vector<int> counts(7);
  for (int i = 0; i < 70000; ++i) ++counts[random.below(7)];
  for (const int count : counts) EXPECT_NEAR(count, 10000, 500);  // 5 standard deviations of a binomial
  std::vector<int> values(100);
  std::iota(values.begin(), values.end(), 0);
  random.shuffle(std::span<int>(values));
  EXPECT_NE(values[0] * 100 + values[1], 1);
  EXPECT_EQ(std::accumulate(values.begin(), values.end(), 0), 4950);
}

TEST(RngTest, NormalAndGammaHaveTheirMoments) {
  RandomStream random(4, Purpose::test);
  double sum = 0;
  double squares = 0;
  double gamma = 0;
  constexpr int kDraws = 100000;
  for (int i = 0; i < kDraws; ++i) {
    const double x = random.normal();
    sum += x;
    squares += x * x;
    gamma += random.gamma(8);
  }
  EXPECT_NEAR(sum / kDraws, 0, 5 / std::sqrt(kDraws));
  EXPECT_NEAR(squares / kDraws, 1, 5 * std::sqrt(2.0 / kDraws));
  EXPECT_NEAR(gamma / kDraws, 8, 5 * std::sqrt(8.0 / kDraws));
}

}  // namespace
}  // namespace mt
