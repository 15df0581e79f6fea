#include "wsi/tissue.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tensor/rng.h"
#include "wsi/mask_filters.h"
#include "wsi/phantom/phantom.h"
#include "wsi/tiff/writer.h"

namespace mt::wsi {
namespace {

Plane noise(int64_t width, int64_t height, uint64_t values) {
  RandomStream random(2, Purpose::test);
  Plane plane(width, height);
  for (uint8_t& value : plane.pixels) value = static_cast<uint8_t>(random.below(values));
  return plane;
}

void paint(RgbImage& image, int64_t x0, int64_t y0, int64_t x1, int64_t y1, const Colour& colour) {
  for (int64_t y = y0; y < y1; ++y) {
    for (int64_t x = x0; x < x1; ++x) std::copy(colour.begin(), colour.end(), image.at(x, y));
  }
}

TEST(MaskFilterTest, MedianEqualsSortingTheWindow) {
  const Plane plane = noise(23, 17, 256);
  for (const int side : {1, 3, 7}) {
    const Plane filtered = median_filter(plane, side);
    for (int64_t y = 0; y < plane.height; ++y) {
      for (int64_t x = 0; x < plane.width; ++x) {
        std::vector<uint8_t> window;
        for (int64_t j = y - side / 2; j <= y + side / 2; ++j) {
          for (int64_t i = x - side / 2; i <= x + side / 2; ++i) {
            window.push_back(plane.at(std::clamp<int64_t>(i, 0, 22), std::clamp<int64_t>(j, 0, 16)));
          }
        }
        std::sort(window.begin(), window.end());
        ASSERT_EQ(filtered.at(x, y), window[window.size() / 2]) << side << " " << x << " " << y;
      }
    }
  }
}

TEST(MaskFilterTest, OtsuHasTheLargestVarianceBetweenClasses) {
  Plane plane = noise(40, 30, 60);
  for (std::size_t i = 0; i < plane.pixels.size() / 3; ++i)
    plane.pixels[i] = static_cast<uint8_t>(plane.pixels[i] + 150);
  const auto variance = [&](int threshold) {
    double n0 = 0, n1 = 0, s0 = 0, s1 = 0;
    for (const uint8_t value : plane.pixels) {
      (value <= threshold ? n0 : n1) += 1;
      (value <= threshold ? s0 : s1) += value;
    }
    return n0 == 0 || n1 == 0 ? 0 : n0 * n1 * std::pow(s0 / n0 - s1 / n1, 2);
  };
  const double found = variance(otsu_threshold(plane));
  for (int threshold = 0; threshold < 256; ++threshold)
    EXPECT_GE(found * (1 + 1e-12), variance(threshold)) << threshold;
}

TEST(MaskFilterTest, ClosingFillsGapsAndKeepsTheRest) {
  Plane mask(20, 10);
  for (int64_t x = 5; x < 15; ++x) mask.at(x, 5) = x == 9 ? 0 : 1;
  const Plane closed = close_mask(mask, 3);
  EXPECT_EQ(closed.at(9, 5), 1);
  EXPECT_EQ(std::count(closed.pixels.begin(), closed.pixels.end(), 1), 10);
  // Closing never takes away, whatever the side.
  const Plane random = noise(31, 29, 2);
  for (const int side : {2, 4, 5}) {
    const Plane result = close_mask(random, side);
    for (std::size_t i = 0; i < random.pixels.size(); ++i) EXPECT_GE(result.pixels[i], random.pixels[i]);
  }
}

TEST(MaskFilterTest, SmallAreasAreReplacedByTheirConnectivity) {
  Plane mask(8, 4);
  for (const auto& [x, y] : {std::pair{0, 0}, {1, 1}, {2, 2}, {6, 0}}) mask.at(x, y) = 1;
  Plane diagonal = mask;
  replace_small_areas(diagonal, 1, 0, 3, true);
  EXPECT_EQ(diagonal.at(1, 1), 1);
  EXPECT_EQ(diagonal.at(6, 0), 0);
  replace_small_areas(mask, 1, 0, 2, false);
  EXPECT_EQ(std::count(mask.pixels.begin(), mask.pixels.end(), 1), 0);
}

TEST(TissueTest, FindsTissueAndLeavesPenGlassAndSpecksOut) {
  RgbImage image(300, 200, 243);
  paint(image, 60, 40, 200, 160, {205, 130, 190});
  paint(image, 100, 80, 108, 88, {243, 243, 243});    // a lumen of 8 x 8 px = 256 um2: filled
  paint(image, 130, 70, 180, 120, {243, 243, 243});   // a hole of 10,000 um2: stays
  paint(image, 250, 150, 256, 156, {205, 130, 190});  // a speck of 144 um2: dropped
  const Colour inks[] = {{25, 78, 173}, {30, 130, 72}, {32, 32, 36}, {194, 29, 34}};
  for (int64_t i = 0; i < 4; ++i) paint(image, 10 + 70 * i, 5, 70 + 70 * i, 25, inks[i]);
  const std::vector<uint8_t> tissue = tissue_pixels(image, 2.0);
  const auto at = [&](int64_t x, int64_t y) { return tissue[static_cast<std::size_t>(y * 300 + x)]; };
  EXPECT_EQ(at(80, 60), 1);
  EXPECT_EQ(at(104, 84), 1);
  EXPECT_EQ(at(155, 95), 0);
  EXPECT_EQ(at(253, 153), 0);
  for (int64_t y = 0; y < 30; ++y) {
    for (int64_t x = 0; x < 300; ++x) ASSERT_EQ(at(x, y), 0) << "pen at " << x << "," << y;
  }
  int64_t count = std::count(tissue.begin(), tissue.end(), 1);
  EXPECT_NEAR(static_cast<double>(count), 140 * 120 - 50 * 50, 500);
}

TEST(TissueTest, RecoversThePhantomsTissue) {
  for (const char* name : {"normal_001", "tumor_002"}) {
    const PhantomSlide slide = render_phantom(name, name[0] == 't', {});
    const RgbImage image = halved(halved(slide.image));
    const std::vector<uint8_t> tissue = tissue_pixels(image, 2.0);
    double both = 0;
    double either = 0;
    for (int64_t y = 0; y < image.height; ++y) {
      for (int64_t x = 0; x < image.width; ++x) {
        const bool truth =
            slide.tissue(2 * (static_cast<float>(x) + 0.5F), 2 * (static_cast<float>(y) + 0.5F)) > 0;
        const bool found = tissue[static_cast<std::size_t>(y * image.width + x)] != 0;
        both += truth && found ? 1 : 0;
        either += truth || found ? 1 : 0;
      }
    }
    EXPECT_GT(both / either, 0.88) << name;  // droplets of fat at the border count as tissue in the truth
  }
}

TEST(TissueTest, FractionIsExactByArea) {
  TissueMask mask;
  mask.width = 3;
  mask.height = 2;
  mask.downsample_x = 10;
  mask.downsample_y = 20;
  mask.pixels = {1, 0, 0, 0, 1, 0};
  EXPECT_DOUBLE_EQ(mask.fraction(0, 0, 10), 1.0);
  EXPECT_DOUBLE_EQ(mask.fraction(5, 10, 10), 0.5);  // its left half lies in the first pixel
  EXPECT_DOUBLE_EQ(mask.fraction(0, 0, 20), 0.5);
  EXPECT_DOUBLE_EQ(mask.fraction(2.5, 7.5, 15), (7.5 * 12.5 + 7.5 * 2.5) / 225);
  EXPECT_DOUBLE_EQ(mask.fraction(-10, -10, 20), 0.25);  // outside the slide is no tissue
}

// PIL 9: ImageStat.Stat(image.filter(ImageFilter.FIND_EDGES)).sum of this picture is [2969, 4188, 4470].
TEST(TissueTest, EdgeScoreIsPils) {
  RgbImage image(7, 5);
  for (int64_t y = 0; y < 5; ++y) {
    for (int64_t x = 0; x < 7; ++x) {
      for (int64_t c = 0; c < 3; ++c) {
        image.at(x, y)[c] = static_cast<uint8_t>((x * x * 7 + y * 31 * (c + 1) + x * y * c * 13) % 256);
      }
    }
  }
  EXPECT_DOUBLE_EQ(edge_score(image), (2969.0 + 4188.0 + 4470.0) / (7 * 5 * 3));
}

}  // namespace
}  // namespace mt::wsi
