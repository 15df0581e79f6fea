#include "wsi/heatmap.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/harness/error_of.h"

namespace mt::wsi {
namespace {

Colour at(const RgbImage& image, int64_t x, int64_t y) {
  return {image.at(x, y)[0], image.at(x, y)[1], image.at(x, y)[2]};
}

TEST(HeatmapTest, ColoursRunFromBlueToRed) {
  // Darker and darker: a grey print keeps the order.
  const auto luma = [](const Colour& c) { return 0.299 * c[0] + 0.587 * c[1] + 0.114 * c[2]; };
  for (int i = 0; i < 100; ++i)
    EXPECT_GT(luma(heat_colour(static_cast<float>(i) / 100)),
              luma(heat_colour(static_cast<float>(i + 1) / 100)))
        << i;
  EXPECT_EQ(heat_colour(-3), heat_colour(0));
  EXPECT_EQ(heat_colour(7), heat_colour(1));
  EXPECT_EQ(heat_colour(std::numeric_limits<float>::quiet_NaN()), (Colour{128, 128, 128}));
}

TEST(HeatmapTest, PatchesLandWhereTheyLieAndOverlapsAverage) {
  const Level level0{1000, 500, 1};
  RgbImage thumbnail(100, 50, 200);
  const PatchScore patches[] = {{100, 100, 1.0F}, {200, 100, 0.0F}, {200, 100, 1.0F}, {950, 450, 1.0F}};
  draw_heatmap(thumbnail, ThumbnailScale(thumbnail, level0), patches, 100, 0, 1, 1.0F);
  EXPECT_EQ(at(thumbnail, 10, 10), heat_colour(1));
  EXPECT_EQ(at(thumbnail, 19, 19), heat_colour(1));
  EXPECT_EQ(at(thumbnail, 25, 15), heat_colour(0.5F));
  EXPECT_EQ(at(thumbnail, 9, 10), (Colour{200, 200, 200}));
  EXPECT_EQ(at(thumbnail, 30, 15), (Colour{200, 200, 200}));
  EXPECT_EQ(at(thumbnail, 99, 49), heat_colour(1));  // cut off at the border
}

TEST(HeatmapTest, AlphaMixes) {
  RgbImage thumbnail(10, 10, 100);
  const PatchScore patch[] = {{0, 0, 0.75F}};
  draw_heatmap(thumbnail, ThumbnailScale(thumbnail, {10, 10, 1}), patch, 10, 0.5F, 1, 0.25F);
  EXPECT_EQ(at(thumbnail, 5, 5)[0], std::lround(75 + 0.25 * heat_colour(0.5F)[0]));
  EXPECT_NE(error_of([&] {
              draw_heatmap(thumbnail, {thumbnail, {10, 10, 1}}, patch, 10, 1, 1);
            }).find("heatmap"),
            std::string::npos);
}

TEST(HeatmapTest, OutlinesAreScaledAndMayLeaveThePicture) {
  RgbImage thumbnail(100, 100, 250);
  const Annotations annotations({{"", "", {{200, 200}, {1e8, 200}, {1e8, 1e8}, {200, 1e8}}, false},
                                 {"", "", {{500, 500}, {600, 500}, {600, 600}, {500, 600}}, true}});
  draw_outlines(thumbnail, ThumbnailScale(thumbnail, {1000, 1000, 1}), annotations, {1, 2, 3}, 2);
  for (int64_t i = 21; i < 100; ++i) {
    EXPECT_EQ(at(thumbnail, i, 20), (Colour{1, 2, 3})) << i;
    EXPECT_EQ(at(thumbnail, 20, i), (Colour{1, 2, 3})) << i;
  }
  EXPECT_EQ(at(thumbnail, 55, 50), (Colour{90, 90, 90}));
  EXPECT_EQ(at(thumbnail, 55, 55), (Colour{250, 250, 250}));
  EXPECT_EQ(at(thumbnail, 50, 10), (Colour{250, 250, 250}));
}

TEST(HeatmapTest, ContactSheetsHoldEveryPicture) {
  std::vector<RgbImage> pictures;
  for (uint8_t i = 0; i < 5; ++i) pictures.emplace_back(8, 6, static_cast<uint8_t>(10 * i));
  const RgbImage sheet = contact_sheet(pictures, 3, 2);
  EXPECT_EQ(sheet.width, 3 * 10 + 2);
  EXPECT_EQ(sheet.height, 2 * 8 + 2);
  EXPECT_EQ(at(sheet, 2, 2)[0], 0);
  EXPECT_EQ(at(sheet, 12, 10)[0], 40);
  EXPECT_EQ(at(sheet, 22, 10)[0], 255);
  EXPECT_EQ(contact_sheet({}, 3).width, 0);
  pictures.emplace_back(9, 6);
  EXPECT_NE(error_of([&] { contact_sheet(pictures, 3); }).find("9x6"), std::string::npos);
}

TEST(ScaleBarTest, IsTheLongestRoundLengthThatFitsAQuarter) {
  RgbImage picture(400, 300, 200);
  EXPECT_EQ(draw_scale_bar(picture, 8.0), 500);  // a quarter is 800 um
  int black = 0;
  for (int64_t x = 0; x < picture.width; ++x) black += *picture.at(x, picture.height - 10) == 0 ? 1 : 0;
  EXPECT_EQ(black, 63);  // 500 um / 8
  RgbImage again(400, 300, 200);
  EXPECT_EQ(draw_scale_bar(again, 25.0), 2000);
  RgbImage tiny(20, 20, 200);
  EXPECT_EQ(draw_scale_bar(tiny, 8.0), 0);
}

}  // namespace
}  // namespace mt::wsi
