// Pseudo-labels, against sets worked out by hand.

#include "train/method/mining.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "tensor/check.h"

namespace mt::train {
namespace {

using Scores = std::vector<std::vector<float>>;

/// Slides 0 and 2 are positive, 1 and 3 negative.
std::vector<TiledSlide> four_slides() {
  std::vector<TiledSlide> slides;
  for (int i = 0; i < 4; ++i) {
    SlideRecord slide;
    slide.id = "slide_" + std::to_string(i);
    slide.label = i % 2 == 0 ? 1 : 0;
    slides.push_back({slide, {}});
  }
  return slides;
}

Config paper() {
  Config config = preset_config(Preset::paper, "camelyon16");
  config.positive_threshold = 0.25;  // a float, too
  return config;
}

/// "slide/tile" of every patch, in order.
std::vector<std::string> names(const std::vector<ScoredPatch>& patches) {
  std::vector<std::string> list;
  for (const ScoredPatch& patch : patches)
    list.push_back(std::to_string(patch.id.slide) + "/" + std::to_string(patch.id.tile));
  return list;
}

using Names = std::vector<std::string>;

const Scores kScores{{0.9F, 0.25F, 0.31F, 0.1F},          // positive
                     {0.2F, 0.8F, 0.1F, 0.05F, 0.6F},     // negative
                     {0.5F, 0.24F, 0.7F, 0.2F},           // positive
                     {0.4F, 0.01F, 0.02F, 0.03F, 0.7F}};  // negative

TEST(MiningTest, PositivesLieAboveTheThresholdAndThePacedOnesAboveAQuantileOfThose) {
  // Above 0.25: 0.9, 0.31, 0.5, 0.7 (0.25 itself is not). At progress 0 the top 20 %: numpy's quantile 0.8 of
  // these four is 0.7 + 0.4·0.2 = 0.78. At progress 1 the top 80 %: quantile 0.2 is 0.31 + 0.6·0.19 = 0.424.
  MinedSet mined = mine(four_slides(), kScores, paper(), Method::hnm, 0);
  EXPECT_EQ(names(mined.positives), (Names{"0/0", "0/2", "2/0", "2/2"}));
  EXPECT_EQ(names(mined.paced_positives), (Names{"0/0"}));
  EXPECT_DOUBLE_EQ(mined.positive_share, 0.5);
  EXPECT_FALSE(mined.fallback);
  mined = mine(four_slides(), kScores, paper(), Method::hnm, 1);
  EXPECT_EQ(names(mined.paced_positives), (Names{"0/0", "2/0", "2/2"}));
  // Half way the share is 0.5: quantile 0.5 is 0.6. Beyond the end it stays where it ends.
  EXPECT_EQ(names(mine(four_slides(), kScores, paper(), Method::hnm, 0.5).paced_positives),
            (Names{"0/0", "2/2"}));
  EXPECT_EQ(names(mine(four_slides(), kScores, paper(), Method::hnm, 7).paced_positives),
            (Names{"0/0", "2/0", "2/2"}));
}

TEST(MiningTest, HardNegativesAreTheTopOfAllNegativeSlidesTogether) {
  // Ten negatives; quantile 0.8 lies between 0.6 and 0.7 (rank 7.2): 0.6 + 0.2·0.1 = 0.62.
  const MinedSet mined = mine(four_slides(), kScores, paper(), Method::hnm, 0);
  EXPECT_NEAR(mined.negative_threshold, 0.62, 1e-6);
  EXPECT_EQ(names(mined.hard_negatives), (Names{"1/1", "3/4"}));
  EXPECT_EQ(mined.easy_negatives.size(), 8U);
  const MinedSet all = mine(four_slides(), kScores, paper(), Method::its2clr, 0);
  EXPECT_EQ(all.hard_negatives.size(), 10U);
  EXPECT_TRUE(all.easy_negatives.empty());
}

TEST(MiningTest, UncertainNegativesAreTheLowestOfThePositiveSlides) {
  // Not above 0.25: 0.25, 0.1, 0.24, 0.2. At progress 0 the lowest 20 %: quantile 0.2 is 0.1 + 0.6·0.1 =
  // 0.16.
  EXPECT_EQ(names(mine(four_slides(), kScores, paper(), Method::hnm, 0).paced_uncertain), (Names{"0/3"}));
  // At progress 1 the lowest 80 %: quantile 0.8 is 0.24 + 0.4·0.01 = 0.244.
  EXPECT_EQ(names(mine(four_slides(), kScores, paper(), Method::hnm, 1).paced_uncertain),
            (Names{"0/3", "2/1", "2/3"}));
}

TEST(MiningTest, TheTopShareReplacesAThresholdThatPassesTooManyOrTooFew) {
  Config config = paper();
  config.positive_fallback = 0.25;  // two of eight
  Scores scores = kScores;
  for (float& score : scores[0]) score = std::min(1.0F, score + 0.3F);  // 6 of 8 above
  const MinedSet many = mine(four_slides(), scores, config, Method::hnm, 0);
  EXPECT_TRUE(many.fallback);
  EXPECT_DOUBLE_EQ(many.positive_share, 0.75);
  EXPECT_EQ(names(many.positives), (Names{"0/0", "2/2"}));
  EXPECT_EQ(many.paced_uncertain.size() + many.positives.size(), 2U + 2U);  // a fifth of the other six: two

  for (const std::size_t slide : {std::size_t{0}, std::size_t{2}})
    for (float& score : scores[slide]) score *= 0.25F;  // none above
  const MinedSet few = mine(four_slides(), scores, config, Method::hnm, 0);
  EXPECT_TRUE(few.fallback);
  EXPECT_EQ(few.positive_share, 0);
  EXPECT_EQ(names(few.positives), (Names{"0/0", "2/2"}));
  // Half of them above: the threshold stands.
  EXPECT_FALSE(mine(four_slides(), kScores, config, Method::hnm, 0).fallback);
}

TEST(MiningTest, SaysWhenNothingIsLeft) {
  Scores scores = kScores;
  for (const std::size_t slide : {std::size_t{0}, std::size_t{2}})
    for (float& score : scores[slide]) score *= 0.25F;
  EXPECT_THROW(mine(four_slides(), scores, paper(), Method::hnm, 0), Error);
  EXPECT_THROW(mine(four_slides(), {kScores[0], {}, kScores[2], {}}, paper(), Method::hnm, 0), Error);
}

TEST(MiningTest, TheControlsDrawAsManyNegativesByLotAndAnotherRoundDrawsOthers) {
  Config config = paper();
  config.negative_ratio = 0.3;  // of ten: three
  const MinedSet mined = mine(four_slides(), kScores, config, Method::random, 0, 1);
  EXPECT_EQ(mined.hard_negatives.size(), 3U);
  EXPECT_EQ(mined.easy_negatives.size(), 7U);
  Names all = names(mined.hard_negatives);
  for (const std::string& name : names(mined.easy_negatives)) all.push_back(name);
  std::sort(all.begin(), all.end());
  EXPECT_EQ(all, (Names{"1/0", "1/1", "1/2", "1/3", "1/4", "3/0", "3/1", "3/2", "3/3", "3/4"}));
  // Positives are mined as ever.
  EXPECT_EQ(names(mined.positives), names(mine(four_slides(), kScores, config, Method::hnm, 0).positives));
  EXPECT_EQ(names(mine(four_slides(), kScores, config, Method::random, 0, 1).hard_negatives),
            names(mined.hard_negatives));
  std::set<Names> drawn;
  for (uint32_t round = 1; round <= 20; ++round)
    drawn.insert(names(mine(four_slides(), kScores, config, Method::random, 0, round).hard_negatives));
  EXPECT_GT(drawn.size(), 5U);
  // Nothing is mined at all: every patch of a positive slide, whatever its score.
  const MinedSet unmined = mine(four_slides(), kScores, config, Method::unmined, 0, 1);
  EXPECT_EQ(names(unmined.positives), (Names{"0/0", "0/1", "0/2", "0/3", "2/0", "2/1", "2/2", "2/3"}));
  EXPECT_EQ(names(unmined.paced_positives), names(unmined.positives));
  EXPECT_EQ(names(unmined.hard_negatives), names(mined.hard_negatives));
}

TEST(MiningTest, TheControlsTakeExactlyAsManyNegativesAsHnm) {
  // 2,001 distinct scores, of which numpy's quantile leaves 401; and all scores equal, which all lie at it.
  for (const bool equal : {false, true}) {
    Scores scores = kScores;
    for (const std::size_t slide : {std::size_t{1}, std::size_t{3}}) {
      scores[slide].clear();
      for (int i = 0; i < (slide == 1 ? 1000 : 1001); ++i)
        scores[slide].push_back(equal ? 0.5F : static_cast<float>(2 * i + (slide == 1 ? 1 : 0)) / 4096);
    }
    Config config = paper();
    config.negative_ratio = 0.2;
    const std::size_t mined = mine(four_slides(), scores, config, Method::hnm, 0).hard_negatives.size();
    EXPECT_EQ(mined, equal ? 2001U : 401U);
    EXPECT_EQ(mine(four_slides(), scores, config, Method::random, 0, 1).hard_negatives.size(), mined);
    EXPECT_EQ(mine(four_slides(), scores, config, Method::unmined, 0, 1).hard_negatives.size(), mined);
  }
}

}  // namespace
}  // namespace mt::train
