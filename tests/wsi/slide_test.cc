// What a region read means, on tiny slides whose every pixel is known.

#include "wsi/slide.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <thread>

#include "tensor/check.h"
#include "tests/wsi/tiny_tiff.h"
#include "wsi/tile_cache.h"

namespace mt::wsi {
namespace {

using namespace testing;

TEST(SlideTest, EveryLosslessLayoutGivesTheWrittenPixels) {
  struct Layout {
    const char *name, *mode;
    uint16_t compression, predictor;
  };
  const Layout layouts[] = {{"raw", "wl", 1, 1},          {"raw_big", "wb", 1, 1},
                            {"raw_bigtiff", "wb8", 1, 1}, {"lzw", "wl", 5, 1},
                            {"lzw_diff", "wb8", 5, 2},    {"deflate", "wl", 8, 1},
                            {"deflate_diff", "wb", 8, 2}, {"old_deflate", "wl8", 32946, 2}};
  for (const Layout& layout : layouts) {
    SCOPED_TRACE(layout.name);
    const auto path = temporary_path(layout.name);
    TinyImage image;
    image.compression = layout.compression;
    image.predictor = layout.predictor;
    write_tiny_tiff(path, {image}, layout.mode);
    const auto slide = Slide::open(path);
    EXPECT_EQ(slide->dialect(), "generic");
    ASSERT_EQ(slide->level_count(), 1);
    EXPECT_EQ(slide->levels()[0].width, 100);
    EXPECT_EQ(slide->levels()[0].height, 80);
    // Across tile borders, and over each edge of the slide.
    for (const auto& [x, y] : {std::pair{0, 0}, {13, 25}, {-9, -7}, {70, 60}, {-200, 3}, {100, 80}}) {
      const RgbImage region = slide->read_region(x, y, 0, 45, 38);
      EXPECT_EQ(region.pixels, expected_region(gradient(), 100, 80, x, y, 45, 38).pixels) << x << ' ' << y;
    }
  }
}

TEST(SlideTest, LzwOutlastsItsTableAndRepeats) {
  // 128 x 128 x 3 noisy bytes fill the 4,094 codes several times; a flat half makes texts that contain
  // themselves.
  const PixelFunction noise = [](int64_t x, int64_t y) {
    const auto h = static_cast<uint32_t>(x * 73856093 ^ y * 19349663) * 2654435761U;
    return y < 64 ? Colour{static_cast<uint8_t>(h >> 24), static_cast<uint8_t>(h >> 16),
                           static_cast<uint8_t>(h >> 8)}
                  : Colour{7, 7, 7};
  };
  TinyImage image;
  image.width = image.height = 128;
  image.tile = 128;
  image.compression = 5;
  image.pixel = noise;
  const auto path = temporary_path("lzw");
  write_tiny_tiff(path, {image});
  EXPECT_EQ(Slide::open(path)->read_region(0, 0, 0, 128, 128).pixels,
            expected_region(noise, 128, 128, 0, 0, 128, 128).pixels);
}

TEST(SlideTest, JpegTilesUseSharedTablesAndTheTiffsColourSpace) {
  // RGB in a JPEG without any marker that says so. Quality 75 of a smooth ramp: within a few levels.
  const PixelFunction ramp = [](int64_t x, int64_t y) {
    return Colour{static_cast<uint8_t>(60 + x), static_cast<uint8_t>(200 - y),
                  static_cast<uint8_t>(90 + (x + y) / 2)};
  };
  TinyImage image;
  image.width = 96;
  image.height = 64;
  image.compression = 7;
  image.pixel = ramp;
  const auto path = temporary_path("jpeg");
  write_tiny_tiff(path, {image});
  const RgbImage region = Slide::open(path)->read_region(0, 0, 0, 96, 64);
  const RgbImage expected = expected_region(ramp, 96, 64, 0, 0, 96, 64);
  for (std::size_t i = 0; i < region.pixels.size(); ++i) {
    ASSERT_LE(std::abs(region.pixels[i] - expected.pixels[i]), 8) << i;
  }
}

TEST(SlideTest, GreyAndFourChannelImagesBecomeRgb) {
  for (const auto& [samples, photometric] : {std::pair<uint16_t, uint16_t>{1, 1}, {1, 0}, {4, 2}}) {
    TinyImage image;
    image.samples = samples;
    image.photometric = photometric;
    const auto path = temporary_path(fmt::format("{}_{}", samples, photometric));
    write_tiny_tiff(path, {image});
    const RgbImage region = Slide::open(path)->read_region(40, 50, 0, 2, 2);
    const Colour colour = samples == 4       ? Colour{41, 51, 0}
                          : photometric == 1 ? Colour{41, 41, 41}
                                             : Colour{214, 214, 214};
    EXPECT_TRUE(std::equal(colour.begin(), colour.end(), region.at(1, 1)));
  }
}

TEST(SlideTest, OutsideAndMissingTilesAreBackgroundWithAlphaZero) {
  TinyImage image;
  image.missing_tiles = {0, 5};  // 4 tiles across: (0,0) and (1,1)
  const auto path = temporary_path("sparse");
  write_tiny_tiff(path, {image});
  const auto slide = Slide::open(path);
  const RgbaImage region = slide->read_region_rgba(-5, -5, 0, 110, 90);
  const RgbImage opaque = slide->read_region(-5, -5, 0, 110, 90);
  for (int64_t j = 0; j < 90; ++j) {
    for (int64_t i = 0; i < 110; ++i) {
      const int64_t x = i - 5, y = j - 5;
      const bool inside = x >= 0 && y >= 0 && x < 100 && y < 80;
      const bool there = inside && !(x < 32 && y < 32) && !(x >= 32 && x < 64 && y >= 32 && y < 64);
      const Colour colour = there ? gradient()(x, y) : Colour{255, 255, 255};
      ASSERT_EQ(region.at(i, j)[3], there ? 255 : 0) << x << ' ' << y;
      ASSERT_TRUE(std::equal(colour.begin(), colour.end(), region.at(i, j))) << x << ' ' << y;
      ASSERT_TRUE(std::equal(colour.begin(), colour.end(), opaque.at(i, j))) << x << ' ' << y;
    }
  }
}

/// A slide of 256 x 192, with levels of a half and a quarter.
std::filesystem::path three_levels(const std::string& name, float pixels_per_cm = 40000) {
  std::vector<TinyImage> images(3);
  for (int i = 0; i < 3; ++i) {
    TinyImage& image = images[static_cast<std::size_t>(i)];
    image.width = 256 >> i;
    image.height = 192 >> i;
    image.subfile_type = i > 0 ? 1 : 0;
    image.pixel = gradient(i + 1);
    image.x_resolution = image.y_resolution = pixels_per_cm;
  }
  const auto path = temporary_path(name);
  write_tiny_tiff(path, images);
  return path;
}

TEST(SlideTest, OriginAtCoarserLevelsIsTheFloor) {
  const auto slide = Slide::open(three_levels("floor"));
  ASSERT_EQ(slide->level_count(), 3);
  EXPECT_EQ(slide->levels()[2].downsample, 4.0);
  for (const int64_t x : {0, 3, 4, 7, 41, -1, -4, -5}) {
    const int64_t floor_x = x >= 0 ? x / 4 : -((-x + 3) / 4);
    EXPECT_EQ(slide->read_region(x, 9, 2, 20, 20).pixels,
              expected_region(gradient(3), 64, 48, floor_x, 2, 20, 20).pixels)
        << x;
  }
}

TEST(SlideTest, TargetMppCopiesTheEqualLevelAndAveragesOtherwise) {
  const auto slide = Slide::open(three_levels("mpp"));  // 40,000 pixels per cm: 0.25 um/px
  ASSERT_TRUE(slide->mpp());
  EXPECT_NEAR(*slide->mpp(), 0.25, 1e-9);
  EXPECT_EQ(slide->read_at_mpp(16, 8, 0.5, 30, 20).pixels, slide->read_region(16, 8, 1, 30, 20).pixels);
  EXPECT_EQ(slide->read_at_mpp(16, 8, 0.501, 30, 20).pixels, slide->read_region(16, 8, 1, 30, 20).pixels);
  EXPECT_NE(slide->read_at_mpp(16, 8, 0.51, 30, 20).pixels, slide->read_region(16, 8, 1, 30, 20).pixels);
  // 0.75 um/px: 1.5 pixels of level 1 each. Level 1 rises by one per pixel: the mean over [10+1.5i,
  // 10+1.5(i+1)) of x is its middle less half a pixel.
  const RgbImage region = slide->read_at_mpp(20, 40, 0.75, 12, 8);
  for (int64_t i = 0; i < 12; ++i) {
    const double low = 10 + 1.5 * static_cast<double>(i), high = low + 1.5;
    double mean = 0;
    for (int64_t s = 0; s < 128; ++s) {
      const double inside =
          std::min(high, static_cast<double>(s + 1)) - std::max(low, static_cast<double>(s));
      if (inside > 0) mean += inside * static_cast<double>(s) / 1.5;
    }
    EXPECT_EQ(region.at(i, 0)[0], static_cast<uint8_t>(std::floor(mean + 0.5))) << i;
    EXPECT_EQ(region.at(i, 5)[2], 32) << i;  // level 1, plane 2: not level 0 (16), not level 2 (48)
  }
}

TEST(SlideTest, AveragingAtTheEdgeMixesInTheBackground) {
  const PixelFunction black = [](int64_t, int64_t) { return Colour{0, 0, 0}; };
  TinyImage image;
  image.width = image.height = 99;
  image.pixel = black;
  const auto path = temporary_path("edge");
  write_tiny_tiff(path, {image});
  OpenOptions options;
  options.mpp_override = 0.5;
  const RgbImage region = Slide::open(path, options)->read_at_mpp(96, 0, 1.0, 3, 1);
  EXPECT_EQ(region.at(0, 0)[0], 0);
  EXPECT_EQ(region.at(1, 0)[0], 128);  // half black, half glass: 127.5 rounds up
  EXPECT_EQ(region.at(2, 0)[0], 255);
}

TEST(SlideTest, MppOverrideWinsAndASlideWithoutMppSaysSo) {
  EXPECT_FALSE(Slide::open(three_levels("none", 0))->mpp());
  EXPECT_FALSE(Slide::open(three_levels("dpi72", 28.346F))->mpp());  // 72 dpi is no physical size
  const std::string error =
      error_of([] { Slide::open(three_levels("read", 0))->read_at_mpp(0, 0, 0.5, 9, 9); });
  EXPECT_NE(error.find("--mpp-override"), std::string::npos) << error;
  OpenOptions options;
  options.mpp_override = 0.4;
  EXPECT_EQ(Slide::open(three_levels("override"), options)->mpp(), 0.4);
  options.mpp_override = -1;
  EXPECT_THROW(Slide::open(three_levels("negative"), options), Error);
}

TEST(SlideTest, ThumbnailIsTheMeanOfWhatItCovers) {
  const PixelFunction checks = [](int64_t x, int64_t y) {
    const auto v = static_cast<uint8_t>((x + y) % 2 == 0 ? 100 : 200);
    return Colour{v, v, v};
  };
  TinyImage image;
  image.width = 128;
  image.height = 64;
  image.pixel = checks;
  const auto path = temporary_path("thumbnail");
  write_tiny_tiff(path, {image});
  const RgbImage thumbnail = Slide::open(path)->thumbnail(32);
  EXPECT_EQ(thumbnail.width, 32);
  EXPECT_EQ(thumbnail.height, 16);
  EXPECT_EQ(thumbnail.pixels, std::vector<uint8_t>(32 * 16 * 3, 150));
  EXPECT_EQ(Slide::open(path)->thumbnail(1000).width, 128);
}

TEST(SlideTest, AnErrorBelongsToItsCallAlone) {
  TinyImage image;
  image.compression = 8;
  const auto path = temporary_path("corrupt");
  write_tiny_tiff(path, {image});
  std::vector<uint8_t> bytes = file_bytes(path);
  // The first tile stands right behind the header of 8 bytes; a zlib stream that starts with 0xFF is none.
  bytes[8] = 0xFF;
  write_bytes(path, bytes);
  const auto slide = Slide::open(path);
  const std::string error = error_of([&] { slide->read_region(0, 0, 0, 40, 10); });
  EXPECT_NE(error.find(path.string()), std::string::npos) << error;
  EXPECT_NE(error.find("level 0, tile 0"), std::string::npos) << error;
  EXPECT_EQ(slide->read_region(32, 0, 0, 40, 10).pixels,
            expected_region(gradient(), 100, 80, 32, 0, 40, 10).pixels);
  error_of([&] { slide->read_region(0, 0, 0, 1, 1); });
}

TEST(SlideTest, ImpossibleRequestsAreRefusedBeforeMemoryIsTaken) {
  const auto slide = Slide::open(three_levels("refuse"));
  const int64_t huge = int64_t{1} << 40;
  EXPECT_NE(error_of([&] { slide->read_region(0, 0, 0, huge, huge); }).find("allowed"), std::string::npos);
  EXPECT_NE(error_of([&] { slide->read_region(0, 0, 0, 0, 5); }).find("empty"), std::string::npos);
  EXPECT_NE(error_of([&] { slide->read_region(0, 0, 3, 5, 5); }).find("level 3"), std::string::npos);
  error_of([&] { slide->read_region(0, 0, -1, 5, 5); });
  error_of([&] { slide->read_region(INT64_MIN, 0, 0, 5, 5); });
  error_of([&] { slide->read_at_mpp(INT64_MAX, 0, 0.5, 5, 5); });
  error_of([&] { slide->read_at_mpp(0, 0, 0, 5, 5); });
  error_of([&] { slide->read_at_mpp(0, 0, 1e300, 5, 5); });
  error_of([&] { slide->associated("label"); });
  OpenOptions options;
  options.max_image_pixels = 1000;  // a tile has 32 x 32 = 1024
  error_of([&] { Slide::open(slide->path(), options); });
}

TEST(SlideTest, ManyThreadsReadTheSamePixels) {
  const auto path = three_levels("threads");
  OpenOptions options;
  options.cache =
      std::make_shared<TileCache>(16 * 20 * 1024);  // room for a few of the 63 tiles: much comes and goes
  const auto slide = Slide::open(path, options);
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 200; ++i) {
        const int level = (i + t) % 3;
        const int64_t x = (i * 37 + t * 11) % 200, y = (i * 53) % 150;
        const RgbImage region = slide->read_region(x, y, level, 40, 40);
        const RgbImage expected =
            expected_region(gradient(level + 1), 256 >> level, 192 >> level, x >> level, y >> level, 40, 40);
        if (region.pixels != expected.pixels) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_LE(options.cache->bytes(), options.cache->capacity_bytes());
}

}  // namespace
}  // namespace mt::wsi
