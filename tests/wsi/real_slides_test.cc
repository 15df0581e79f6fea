// Slides of real scanners and made twins of them. The expected numbers were measured with OpenSlide 3.4.1
// (Debian 12, libjpeg-turbo 2.1.5) on the same files: mean colour and CRC-32 of the RGB bytes with white
// where alpha is 0.

#include <gtest/gtest.h>
#include <zlib.h>

#include "tensor/check.h"
#include "tests/wsi/tiny_tiff.h"
#include "wsi/slide.h"

namespace mt::wsi {
namespace {

using namespace testing;

uint32_t checksum(const RgbImage& image) {
  return static_cast<uint32_t>(crc32(0, image.pixels.data(), static_cast<uInt>(image.pixels.size())));
}

double mean_of_channel(const RgbImage& image, std::size_t channel) {
  double sum = 0;
  for (std::size_t i = channel; i < image.pixels.size(); i += 3) sum += image.pixels[i];
  return sum / static_cast<double>(image.width * image.height);
}

struct Expected {
  const char* file;
  int64_t x, y;
  int level;
  int64_t width, height;
  double mean[3];
  uint32_t crc;
};

const Expected kRegions[] = {
    {"CMU-1-Small-Region.svs", 1000, 1500, 0, 256, 256, {126.2930, 85.9657, 125.7715}, 0xba870a2a},
    {"CMU-1-Small-Region.svs", 0, 0, 0, 240, 240, {241.4953, 239.5387, 240.4847}, 0xa1eb7f28},
    {"CMU-1-Small-Region.svs", 2100, 2900, 0, 200, 100, {250.5836, 250.2648, 250.2679}, 0xb23a0b54},
    {"CMU-1-Small-Region.svs", -30, -20, 0, 100, 100, {243.9433, 242.2323, 243.7415}, 0x87faa4b4},
    {"cam_like_8192_t512_q80_420.tif", 3000, 3000, 0, 224, 224, {189.5087, 131.2887, 162.6469}, 0xf681f79f},
    {"cam_like_8192_t512_q80_420.tif", 2048, 1024, 2, 300, 200, {200.9535, 188.9615, 200.9780}, 0x031ceb1c},
    {"cam_like_8192_t512_q80_420.tif", 8100, 8100, 0, 128, 128, {237.5836, 219.2009, 228.4239}, 0x09a48ea1},
    {"philips_like_7680x6656.tif", 1000, 2000, 0, 300, 300, {145.3506, 98.9677, 139.1276}, 0xa44dab6f},
    {"philips_like_7680x6656.tif", 7600, 6600, 1, 100, 100, {242.1527, 236.1269, 240.9143}, 0xe33e4a04},
    {"philips_like_7680x6656.tif", 0, 0, 4, 480, 416, {214.9171, 197.6099, 209.0002}, 0x8319839b},
    {"philips_like_sparse.tif", 0, 0, 0, 600, 600, {254.7927, 254.7647, 254.7355}, 0xf9c7e6ef},
    {"philips_like_sparse.tif", 900, 0, 0, 300, 300, {229.6198, 212.3208, 222.3673}, 0xb82e1247},
    {"philips_like_sparse.tif", 0, 600, 0, 300, 300, {255.0, 255.0, 255.0}, 0x61a39ce8},
    {"bigendian_bigtiff_lzw_1500x1100.tif", 700, 400, 0, 300, 300, {140.9742, 90.4424, 132.5994}, 0x6367f29a},
    {"bigendian_bigtiff_jpeg_1500x1100.tif",
     700,
     400,
     0,
     300,
     300,
     {140.8987, 90.4264, 132.5572},
     0xb393026b},
    // OpenSlide cannot open the classic big-endian twin; Pillow 9.4 gives the same pixels for both.
    {"bigendian_classic_jpeg_1500x1100.tif",
     700,
     400,
     0,
     300,
     300,
     {140.8987, 90.4264, 132.5572},
     0xb393026b},
    {"ome_like_subifd_1500x1100.tif", 700, 400, 0, 300, 300, {140.9198, 90.3910, 132.5833}, 0xbd187021},
    {"boxes.tiff", 0, 0, 0, 300, 250, {159.0894, 163.5094, 191.5016}, 0x3e1db00c},
    {"boxes.tiff", 0, 0, 1, 150, 125, {159.0939, 163.5141, 191.5068}, 0x28ebd059},
    {"small.svs", 0, 0, 0, 16, 16, {238.1523, 233.9453, 236.8164}, 0x737493b9},
};

TEST(RealSlidesTest, RegionsAreThoseOfOpenSlide) {
  MT_NEEDS_REAL_SLIDES();
  for (const Expected& expected : kRegions) {
    SCOPED_TRACE(fmt::format("{} at {}, {} level {}", expected.file, expected.x, expected.y, expected.level));
    const auto slide = Slide::open(real_slides_folder() / expected.file);
    const RgbImage region =
        slide->read_region(expected.x, expected.y, expected.level, expected.width, expected.height);
    for (std::size_t c = 0; c < 3; ++c) EXPECT_NEAR(mean_of_channel(region, c), expected.mean[c], 1e-4);
    EXPECT_EQ(checksum(region), expected.crc);
  }
}

struct Facts {
  const char* file;
  const char* dialect;
  std::vector<std::pair<int64_t, int64_t>> levels;
  double mpp, power;  // 0: not said
};

TEST(RealSlidesTest, FactsAreThoseOfOpenSlide) {
  MT_NEEDS_REAL_SLIDES();
  const Facts all[] = {
      {"CMU-1-Small-Region.svs", "aperio", {{2220, 2967}}, 0.499, 20},
      {"small.svs", "aperio", {{16, 16}}, 0.499, 20},
      // The resolution tag says 41152.26 pixels per cm; OpenSlide 3.4.1 gives it as a property only.
      {"cam_like_8192_t512_q80_420.tif",
       "generic",
       {{8192, 8192}, {4096, 4096}, {2048, 2048}, {1024, 1024}, {512, 512}},
       0.243,
       0},
      {"philips_like_7680x6656.tif",
       "philips",
       {{7680, 6656}, {3840, 3328}, {1920, 1664}, {960, 832}, {480, 416}},
       0.243,
       0},
      // OpenSlide does not look into SubIFDs; the sizes are those of the tags.
      {"ome_like_subifd_1500x1100.tif", "generic", {{1500, 1100}, {750, 550}, {375, 275}, {187, 137}}, 0, 0},
      {"boxes.tiff", "generic", {{300, 250}, {150, 125}, {75, 62}, {37, 31}}, 0, 0},
  };
  for (const Facts& facts : all) {
    SCOPED_TRACE(facts.file);
    const auto slide = Slide::open(real_slides_folder() / facts.file);
    EXPECT_EQ(slide->dialect(), facts.dialect);
    EXPECT_NEAR(slide->mpp().value_or(0), facts.mpp, 1e-8);
    EXPECT_EQ(slide->objective_power().value_or(0), facts.power);
    ASSERT_EQ(static_cast<std::size_t>(slide->level_count()), facts.levels.size());
    for (std::size_t i = 0; i < facts.levels.size(); ++i) {
      EXPECT_EQ(slide->levels()[i].width, facts.levels[i].first);
      EXPECT_EQ(slide->levels()[i].height, facts.levels[i].second);
    }
  }
}

TEST(RealSlidesTest, AssociatedImagesAreThoseOfOpenSlide) {
  MT_NEEDS_REAL_SLIDES();
  const auto slide = Slide::open(real_slides_folder() / "CMU-1-Small-Region.svs");
  EXPECT_EQ(slide->associated_names(), (std::vector<std::string>{"label", "macro", "thumbnail"}));
  EXPECT_EQ(checksum(slide->associated("label")), 0x28f5ecfcU);
  EXPECT_EQ(checksum(slide->associated("macro")), 0x58d581c9U);
  EXPECT_EQ(checksum(slide->associated("thumbnail")), 0x6ffc8158U);
}

TEST(RealSlidesTest, SlidesThatCannotBeReadSayWhy) {
  MT_NEEDS_REAL_SLIDES();
  const auto open_error = [](const char* file) {
    return error_of([&] { Slide::open(real_slides_folder() / file); });
  };
  EXPECT_NE(open_error("unopenable.tiff").find("compression 52479"), std::string::npos);
  const auto slide = Slide::open(real_slides_folder() / "unreadable.svs");
  const std::string error = error_of([&] { slide->read_region(0, 0, 0, 16, 16); });
  EXPECT_NE(error.find("level 0, tile 0"), std::string::npos) << error;
  EXPECT_NE(error.find("JPEG"), std::string::npos) << error;
}

TEST(RealSlidesTest, MalformedFilesAreRefusedWithOneLine) {
  MT_NEEDS_REAL_SLIDES();
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(real_slides_folder() / "malformed")) {
    SCOPED_TRACE(entry.path().string());
    const std::string error = error_of([&] { Slide::open(entry.path()); });
    EXPECT_TRUE(error.starts_with(entry.path().string() + ": ")) << error;
    EXPECT_EQ(error.find("no reason"), std::string::npos) << error;
    ++files;
  }
  EXPECT_EQ(files, 13);
}

}  // namespace
}  // namespace mt::wsi
