#include "wsi/tiling.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/harness/error_of.h"
#include "tests/harness/temporary_folder.h"
#include "wsi/tiff/writer.h"

namespace mt::wsi {
namespace {

class TilingTest : public ::testing::Test {
 protected:
  std::unique_ptr<Slide> slide(int64_t width, int64_t height, std::optional<double> mpp) {
    TiffWriteOptions options;
    options.dialect = TiffDialect::generic;
    options.compression = TiffCompression::deflate;
    options.tile = 256;
    options.levels = 3;
    options.mpp = mpp;
    RgbImage image(width, height, 240);
    for (int64_t y = 0; y < height; ++y) {
      for (int64_t x = 0; x < width / 2; ++x)
        image.at(x, y)[1] = static_cast<uint8_t>((x / 4 + y / 4) % 2 == 0 ? 90 : 190);
    }
    write_tiff_pyramid(folder_ / "slide.tif", image, options);
    return Slide::open(folder_ / "slide.tif");
  }
  static TissueMask everything() {
    TissueMask mask;
    mask.width = mask.height = 1;
    mask.downsample_x = mask.downsample_y = 1e6;
    mask.pixels = {1};
    return mask;
  }

 private:
  TemporaryFolder folder_;
};

TEST_F(TilingTest, CountsWholePatchesOnly) {
  const auto open = slide(1000, 700, 0.25);
  TilingOptions options;
  options.patch = 64;
  Tiling tiling = tile_slide(*open, everything(), options);  // 0.5 um/px: 128 level-0 px
  EXPECT_DOUBLE_EQ(tiling.patch_level0, 128);
  EXPECT_DOUBLE_EQ(tiling.mpp, 0.5);
  ASSERT_EQ(tiling.patches.size(), 7U * 5U);
  EXPECT_EQ(tiling.patches[7].x_level0, 0);
  EXPECT_EQ(tiling.patches[7].y_level0, 128);
  options.overlap = 32;
  tiling = tile_slide(*open, everything(), options);
  EXPECT_EQ(tiling.patches.size(), 14U * 9U);
  EXPECT_EQ(tiling.patches[13].x_level0, 13 * 64);
}

TEST_F(TilingTest, FractionalStepsDoNotAddUpTheirRounding) {
  const auto open = slide(4000, 300, 0.243);
  TilingOptions options;
  options.patch = 32;
  const Tiling tiling = tile_slide(*open, everything(), options);
  const double step = 32 * 0.5 / open->mpp().value();
  EXPECT_NEAR(tiling.patch_level0, 65.8436, 1e-3);
  const auto columns = static_cast<std::size_t>(std::floor((4000 + 0.5) / step));
  ASSERT_GE(tiling.patches.size(), columns);
  for (std::size_t i = 0; i < columns; ++i) {
    EXPECT_EQ(tiling.patches[i].x_level0, std::llround(static_cast<double>(i) * step));
  }
  EXPECT_EQ(tiling.patches.size() % columns, 0U);
}

TEST_F(TilingTest, NativeLevelsNeedNoPhysicalSize) {
  const auto open = slide(1000, 700, std::nullopt);
  TilingOptions options;
  options.patch = 64;
  EXPECT_NE(error_of([&] { tile_slide(*open, everything(), options); }).find("native:LEVEL"),
            std::string::npos);
  options.level = 2;
  const Tiling tiling = tile_slide(*open, everything(), options);
  EXPECT_DOUBLE_EQ(tiling.patch_level0, 256);
  EXPECT_EQ(tiling.patches.size(), 3U * 2U);
  EXPECT_EQ(read_patch(*open, tiling.patches[1], options).width, 64);
  options.level = 3;
  EXPECT_NE(error_of([&] { tile_slide(*open, everything(), options); }).find("no level 3"),
            std::string::npos);
}

TEST_F(TilingTest, ALevelOfNearlyTheTargetsResolutionIsTakenAsItIs) {
  const auto open = slide(1000, 700, 0.2495);
  TilingOptions options;
  options.patch = 64;
  EXPECT_DOUBLE_EQ(tile_slide(*open, everything(), options).patch_level0, 128);
}

TEST_F(TilingTest, KeepsPatchesWithEnoughTissue) {
  const auto open = slide(1024, 512, 0.5);
  TissueMask mask;
  mask.width = 8;
  mask.height = 4;
  mask.downsample_x = mask.downsample_y = 128;
  mask.pixels.assign(32, 0);
  for (std::size_t i = 0; i < 8; i += 2) mask.pixels[i] = 1;
  TilingOptions options;
  options.patch = 256;
  options.min_tissue = 0.25;
  EXPECT_EQ(tile_slide(*open, mask, options).patches.size(), 4U);
  options.min_tissue = 0.26;
  const Tiling none = tile_slide(*open, mask, options);
  EXPECT_TRUE(none.patches.empty());
  EXPECT_EQ(none.grid_patches, 8);
}

TEST_F(TilingTest, TheEdgeRuleKeepsTexturedPatches) {
  const auto open = slide(1024, 512, 0.5);  // chequered on the left, glass on the right
  TilingOptions options;
  options.patch = 128;
  options.min_edge_score = 15;
  const Tiling tiling = tile_slide(*open, everything(), options);
  ASSERT_EQ(tiling.patches.size(), 16U);
  for (const Patch& patch : tiling.patches) EXPECT_LT(patch.x_level0, 512);
}

TEST_F(TilingTest, WrongOverlapsAreErrors) {
  const auto open = slide(300, 300, 0.5);
  TilingOptions options;
  options.patch = 64;
  options.overlap = 64;
  EXPECT_NE(error_of([&] { tile_slide(*open, everything(), options); }).find("overlap"), std::string::npos);
}

}  // namespace
}  // namespace mt::wsi
