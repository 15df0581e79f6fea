#include "wsi/tile_cache.h"

#include <gtest/gtest.h>

#include "tensor/check.h"
#include "wsi/resample.h"

namespace mt::wsi {
namespace {

TilePixels tile_of(std::size_t bytes) {
  return std::make_shared<const std::vector<uint8_t>>(bytes);
}

TEST(TileCacheTest, KeepsToItsCapacityAndForgetsTheLeastRecentlyUsed) {
  TileCache cache(16 * 1000);
  const uint64_t slide = TileCache::next_slide_id();
  for (uint32_t i = 0; i < 1000; ++i) {
    cache.insert({slide, 0, 0}, tile_of(100));
    EXPECT_TRUE(cache.find({slide, 0, 0})) << i;  // used all the time: it stays
    cache.insert({slide, 1, i}, tile_of(100));
    EXPECT_TRUE(cache.find({slide, 1, i}));
    EXPECT_LE(cache.bytes(), cache.capacity_bytes());
  }
  EXPECT_FALSE(cache.find({slide, 1, 0}));
  EXPECT_GT(cache.bytes(), 16U * 1000U / 2);
  cache.insert({slide, 2, 0}, tile_of(1001));
  EXPECT_FALSE(cache.find({slide, 2, 0}));  // larger than a shard
}

TEST(TileCacheTest, SlidesLevelsAndTilesAreToldApart) {
  TileCache cache(1 << 20);
  cache.insert({1, 2, 3}, tile_of(10));
  EXPECT_TRUE(cache.find({1, 2, 3}));
  EXPECT_FALSE(cache.find({1, 3, 2}));
  EXPECT_FALSE(cache.find({2, 2, 3}));
  EXPECT_NE(TileCache::next_slide_id(), TileCache::next_slide_id());
}

TEST(ResampleTest, WholeFactorsAreBlockMeansRoundedHalfUp) {
  RgbImage source(4, 2);
  for (std::size_t i = 0; i < 8; ++i) source.pixels[i * 3] = static_cast<uint8_t>(i * 10 + i % 3);
  const RgbImage half = resample_area(source, 0, 0, 2, 2, 2, 1);
  // red: 0 11 22 30 / 41 52 60 71 → (0+11+41+52)/4 = 26, (22+30+60+71)/4 = 45.75
  EXPECT_EQ(half.at(0, 0)[0], 26);
  EXPECT_EQ(half.at(1, 0)[0], 46);
}

TEST(ResampleTest, AConstantStaysAtAnyScaleAndOffset) {
  const RgbImage source(37, 29, 201);
  for (const double scale : {0.3, 0.999, 1.0, 1.0288, 2.058, 7.7}) {
    const RgbImage result = resample_area(source, 0.37, 1.9, scale, scale * 1.01, 3, 3);
    EXPECT_EQ(result.pixels, std::vector<uint8_t>(27, 201)) << scale;
  }
  EXPECT_THROW(resample_area(source, 36, 0, 2, 2, 3, 1), Error);
  EXPECT_THROW(resample_area(source, 0, 0, 0, 1, 3, 1), Error);
}

}  // namespace
}  // namespace mt::wsi
