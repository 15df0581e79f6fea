#include "wsi/tiff/writer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "tensor/rng.h"
#include "tests/harness/error_of.h"
#include "tests/harness/temporary_folder.h"
#include "wsi/slide.h"

namespace mt::wsi {
namespace {

/// Smooth colours with a little noise: what JPEG is made for.
RgbImage picture(int64_t width, int64_t height) {
  RandomStream random(1, Purpose::test);
  RgbImage image(width, height);
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < width; ++x) {
      const double wave = std::sin(static_cast<double>(x) / 19) + std::cos(static_cast<double>(y) / 23);
      for (int64_t c = 0; c < 3; ++c) {
        image.at(x, y)[c] =
            static_cast<uint8_t>(130 + 40 * wave + 10 * static_cast<double>(c) + random.uniform(0, 6));
      }
    }
  }
  return image;
}

double mean_difference(const RgbImage& a, const RgbImage& b) {
  EXPECT_EQ(a.pixels.size(), b.pixels.size());
  double sum = 0;
  for (std::size_t i = 0; i < std::min(a.pixels.size(), b.pixels.size()); ++i)
    sum += std::abs(a.pixels[i] - b.pixels[i]);
  return sum / static_cast<double>(a.pixels.size());
}

RgbImage whole_level(const Slide& slide, int level) {
  const Level& size = slide.levels()[static_cast<std::size_t>(level)];
  return slide.read_region(0, 0, level, size.width, size.height);
}

struct Case {
  TiffDialect dialect;
  TiffCompression compression;
  bool big_tiff;
};

class TiffWriterTest : public ::testing::TestWithParam<Case> {};

TEST_P(TiffWriterTest, WhatIsWrittenIsWhatTheSlideReads) {
  const TemporaryFolder folder;
  const std::string file = folder / "slide.tif";
  const RgbImage image = picture(328, 232);
  TiffWriteOptions options;
  options.dialect = GetParam().dialect;
  options.compression = GetParam().compression;
  options.big_tiff = GetParam().big_tiff;
  options.tile = 64;
  options.mpp = 0.25;
  write_tiff_pyramid(file, image, options);

  const auto slide = Slide::open(file);
  const char* dialects[] = {"philips", "generic", "aperio"};
  EXPECT_EQ(slide->dialect(), dialects[static_cast<int>(options.dialect)]);
  EXPECT_NEAR(slide->mpp().value(), 0.25, 1e-6);
  ASSERT_EQ(slide->level_count(), 4);
  RgbImage expected = image;
  for (int level = 0; level < 4; ++level) {
    const Level& size = slide->levels()[static_cast<std::size_t>(level)];
    ASSERT_EQ(size.width, expected.width) << level;
    ASSERT_EQ(size.height, expected.height) << level;
    EXPECT_EQ(size.downsample, 1 << level);
    const RgbImage read = whole_level(*slide, level);
    if (options.compression == TiffCompression::jpeg) {
      EXPECT_LT(mean_difference(read, expected), 3.0) << level;  // quality 80 on noise of 6 grey levels
    } else {
      EXPECT_EQ(read.pixels, expected.pixels) << level;
    }
    expected = halved(expected);
  }
}

INSTANTIATE_TEST_SUITE_P(AllKinds, TiffWriterTest,
                         ::testing::Values(Case{TiffDialect::philips, TiffCompression::jpeg, true},
                                           Case{TiffDialect::philips, TiffCompression::none, true},
                                           Case{TiffDialect::aperio, TiffCompression::jpeg, false},
                                           Case{TiffDialect::aperio, TiffCompression::deflate, true},
                                           Case{TiffDialect::generic, TiffCompression::jpeg, false},
                                           Case{TiffDialect::generic, TiffCompression::lzw, true},
                                           Case{TiffDialect::generic, TiffCompression::deflate, false},
                                           Case{TiffDialect::generic, TiffCompression::none, false}));

TEST(TiffWriterTest, OmittedGlassReadsAsBackgroundAndTakesNoSpace) {
  const TemporaryFolder folder;
  RgbImage image(256, 192, 240);
  for (int64_t y = 10; y < 50; ++y) {
    for (int64_t x = 70; x < 120; ++x) image.at(x, y)[1] = 90;
  }
  TiffWriteOptions options;
  options.tile = 64;
  options.levels = 2;
  options.compression = TiffCompression::none;
  write_tiff_pyramid(folder / "full.tif", image, options);
  options.omit_glass = true;
  write_tiff_pyramid(folder / "sparse.tif", image, options);
  EXPECT_LT(std::filesystem::file_size(folder / "sparse.tif"),
            std::filesystem::file_size(folder / "full.tif") / 4);
  const auto slide = Slide::open(folder / "sparse.tif");
  const RgbaImage read = slide->read_region_rgba(0, 0, 0, 256, 192);
  EXPECT_EQ(read.at(80, 20)[1], 90);
  EXPECT_EQ(read.at(80, 20)[3], 255);
  EXPECT_EQ(read.at(200, 100)[3], 0);
  EXPECT_EQ(read.at(200, 100)[0], slide->background()[0]);
}

TEST(TiffWriterTest, AssociatedPicturesAreFoundByName) {
  const TemporaryFolder folder;
  for (const TiffDialect dialect : {TiffDialect::aperio, TiffDialect::philips}) {
    TiffWriteOptions options;
    options.dialect = dialect;
    options.tile = 64;
    options.label = RgbImage(50, 40, 200);
    options.macro = RgbImage(90, 33, 120);
    write_tiff_pyramid(folder / "slide.tif", picture(200, 150), options);
    const auto slide = Slide::open(folder / "slide.tif");
    ASSERT_EQ(slide->level_count(), 4);
    EXPECT_EQ(slide->associated("label").width, 50);
    const RgbImage macro = slide->associated("macro");
    EXPECT_EQ(macro.height, 33);
    EXPECT_NEAR(macro.at(45, 16)[0], 120, 3);
  }
}

TEST(TiffWriterTest, WithoutPhysicalSizeTheSlideSaysNone) {
  const TemporaryFolder folder;
  for (const TiffDialect dialect : {TiffDialect::generic, TiffDialect::aperio}) {
    TiffWriteOptions options;
    options.dialect = dialect;
    options.tile = 64;
    options.mpp.reset();
    write_tiff_pyramid(folder / "slide.tif", picture(100, 100), options);
    EXPECT_FALSE(Slide::open(folder / "slide.tif")->mpp().has_value());
  }
}

TEST(TiffWriterTest, HalvingIsTheRoundedMean) {
  RgbImage image(3, 2);
  image.pixels = {0, 1, 2, 1, 1, 2, 9, 9, 9, 1, 1, 2, 0, 2, 3, 9, 9, 9};
  const RgbImage half = halved(image);
  ASSERT_EQ(half.width, 1);
  ASSERT_EQ(half.height, 1);
  EXPECT_EQ(half.pixels, (std::vector<uint8_t>{1, 1, 2}));  // 2/4 and 9/4 rounded: 0.5 up, 2.25 down
}

TEST(TiffWriterTest, FailuresNameTheFileAndLeaveNothing) {
  const TemporaryFolder folder;
  const RgbImage image = picture(40, 40);
  TiffWriteOptions options;
  options.tile = 50;
  EXPECT_NE(
      error_of([&] { write_tiff_pyramid(folder / "a.tif", image, options); }).find("a.tif: tile side 50"),
      std::string::npos);
  options.tile = 64;
  EXPECT_NE(error_of([&] { write_tiff_pyramid(folder / "a.tif", RgbImage(), options); }).find("a.tif"),
            std::string::npos);
  EXPECT_NE(error_of([&] { write_tiff_pyramid(folder / "no/b.tif", image, options); }).find("b.tif"),
            std::string::npos);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

}  // namespace
}  // namespace mt::wsi
