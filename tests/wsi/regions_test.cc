#include "wsi/regions.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

#include "tensor/rng.h"

namespace mt::wsi {
namespace {

/// One patch a character, every `step` pixels: '.' scores 0, '1' to '9' a tenth each.
std::vector<PatchScore> patches_of(const std::vector<std::string>& rows, double step) {
  std::vector<PatchScore> patches;
  for (std::size_t row = 0; row < rows.size(); ++row) {
    for (std::size_t column = 0; column < rows[row].size(); ++column) {
      const char c = rows[row][column];
      patches.push_back({std::llround(static_cast<double>(column) * step),
                         std::llround(static_cast<double>(row) * step),
                         c == '.' ? 0.0F : static_cast<float>(c - '0') / 10});
    }
  }
  return patches;
}

TEST(RegionsTest, PatchesThatShareASideAreOneRegionAndCornersAreNot) {
  const auto regions = trace_regions(patches_of({"77..", "7...", ".9..", "...."}, 10), 10, 10, 0.5F);
  ASSERT_EQ(regions.size(), 2U);
  EXPECT_EQ(regions[0].name, "1 patch, highest score 0.900");
  EXPECT_EQ(regions[0].points.size(), 4U);
  EXPECT_EQ(regions[1].name, "3 patches, highest score 0.700");
  EXPECT_EQ(regions[1].points.size(), 6U);  // an L
  EXPECT_TRUE(regions[1].holes.empty());
}

TEST(RegionsTest, HolesAndTheIslandsInThemAreKept) {
  const auto regions =
      trace_regions(patches_of({"88888", "8...8", "8.9.8", "8...8", "88888"}, 10), 10, 10, 0.5F);
  ASSERT_EQ(regions.size(), 2U);
  const Annotations annotations(regions);
  EXPECT_TRUE(annotations.contains(25, 25));
  EXPECT_FALSE(annotations.contains(15, 25));
  EXPECT_TRUE(annotations.contains(5, 25));
  ASSERT_EQ(regions[1].holes.size(), 1U);
  EXPECT_EQ(regions[1].holes[0].size(), 4U);
  EXPECT_EQ(regions[1].points.size(), 4U);
}

TEST(RegionsTest, NothingHighEnoughIsNoRegion) {
  EXPECT_TRUE(trace_regions({}, 10, 10, 0.5F).empty());
  EXPECT_TRUE(trace_regions(patches_of({"44"}, 10), 10, 10, 0.5F).empty());
  const PatchScore unknown[] = {{0, 0, std::numeric_limits<float>::quiet_NaN()}};
  EXPECT_TRUE(trace_regions(unknown, 10, 10, 0.5F).empty());
}

/// Any pattern, on a grid whose step is no whole number: the middle of every patch is in a region exactly
/// when its score is high enough, and each region's outer ring is there.
TEST(RegionsTest, RandomPatternsAreCoveredExactly) {
  RandomStream random(5, Purpose::test, 0);
  for (int trial = 0; trial < 30; ++trial) {
    std::vector<std::string> rows(12, std::string(15, '.'));
    for (std::string& row : rows) {
      for (char& c : row) c = random.uniform() < 0.55 ? '8' : '.';
    }
    const double step = trial % 2 == 0 ? 64.0 : 61.7;
    const double patch = trial % 3 == 0 ? step : 1.5 * step;  // with overlap
    const std::vector<PatchScore> patches = patches_of(rows, step);
    const auto regions = trace_regions(patches, patch, step, 0.5F);
    const Annotations annotations(regions);
    for (const PatchScore& place : patches) {
      const double x = static_cast<double>(place.x_level0) + patch / 2;
      const double y = static_cast<double>(place.y_level0) + patch / 2;
      ASSERT_EQ(annotations.contains(x, y), place.score >= 0.5F) << trial << ": " << x << ", " << y;
    }
    for (const Polygon& region : regions) EXPECT_GE(region.points.size(), 4U);
  }
}

TEST(RegionsTest, PatchesOfAnotherProgramMayBeginAnywhere) {
  // A grid that begins at (3, 7): the same region, there.
  std::vector<PatchScore> patches = {{3, 7, 0.9F}, {13, 7, 0.8F}, {103, 107, 0.1F}};
  const auto shifted = trace_regions_anywhere(patches, 10, 10, 0.5F);
  ASSERT_EQ(shifted.size(), 1U);
  EXPECT_EQ(shifted[0].name, "2 patches, highest score 0.900");
  const Annotations region(shifted);
  EXPECT_EQ(region.coverage(3, 7, 10), 1);
  EXPECT_EQ(region.coverage(13, 7, 10), 1);
  EXPECT_EQ(region.coverage(23, 7, 10), 0);
  // No grid at all: each patch as it lies.
  patches[1].x_level0 = 18;
  const auto loose = trace_regions_anywhere(patches, 10, 10, 0.5F);
  ASSERT_EQ(loose.size(), 2U);
  EXPECT_EQ(loose[0].name, "1 patch, highest score 0.900");
  EXPECT_EQ(Annotations(loose).coverage(18, 7, 10), 1);
  EXPECT_EQ(Annotations(loose).coverage(13, 7, 5), 0);
  EXPECT_TRUE(trace_regions_anywhere({}, 10, 10, 0.5F).empty());
}

}  // namespace
}  // namespace mt::wsi
