// The patches of a slide as the run's options ask for them.

#include "train/data/tiles.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/harness/error_of.h"
#include "tests/harness/temporary_folder.h"
#include "wsi/tiff/writer.h"

namespace mt::train {
namespace {

/// A slide of 1024 x 1024 px at 0.5 um, left half glass, right half tissue.
class TilesTest : public ::testing::Test {
 protected:
  TilesTest() {
    wsi::RgbImage image(1024, 1024, 245);
    for (int64_t y = 0; y < 1024; ++y) {
      for (int64_t x = 512; x < 1024; ++x) {
        image.at(x, y)[0] = static_cast<uint8_t>(190 + x % 7);
        image.at(x, y)[1] = static_cast<uint8_t>(90 + y % 11);
        image.at(x, y)[2] = 150;
      }
    }
    wsi::TiffWriteOptions options;
    options.dialect = wsi::TiffDialect::generic;
    options.mpp = 0.5;
    options.levels = 1;
    options.tile = 256;
    record_.id = "s";
    record_.path = folder_ / "s.tif";
    record_.label = 1;
    wsi::write_tiff_pyramid(record_.path, image, options);
    config_.mpp = "0.5";
    config_.patch = 128;
  }

  SlideTiles tiles() const { return make_tiles(record_, *open_slide(record_, config_), config_); }

  TemporaryFolder folder_;
  SlideRecord record_;
  Config config_;
};

TEST_F(TilesTest, OverlapSetsPatchesCloser) {
  EXPECT_EQ(tiles().count(), 4 * 8);
  config_.overlap = 64;
  const SlideTiles overlapping = tiles();
  // Columns at 448, where half is tissue, 512, …, 896; rows at 0, 64, …, 896.
  EXPECT_EQ(overlapping.count(), 8 * 15);
  EXPECT_EQ(overlapping.x_level0[0], 448);
  EXPECT_EQ(overlapping.x_level0[1], 512);
  EXPECT_EQ(overlapping.patch_level0, 128);
}

TEST_F(TilesTest, NamedGroupsAreTumour) {
  record_.annotation = folder_.put(
      "s.geojson",
      R"({"type":"Feature","geometry":{"type":"Polygon","coordinates":[[[512,0],[1024,0],[1024,512],[512,512],)"
      R"([512,0]]]},"properties":{"classification":{"name":"Metastasis"}}})");
  EXPECT_NE(error_of([&] { tiles(); }).find("--tumour-groups"), std::string::npos);
  config_.tumour_groups = "carcinoma, metastasis";
  const SlideTiles found = tiles();
  ASSERT_EQ(found.tumour.size(), 32U);
  EXPECT_EQ(std::count(found.tumour.begin(), found.tumour.end(), 1.0F), 16);
  EXPECT_EQ(std::count(found.tumour.begin(), found.tumour.end(), 0.0F), 16);
  config_.tumour_groups = "carcinoma";
  EXPECT_NE(error_of([&] { tiles(); }).find("s.geojson: outlines no tumour, and slide s is positive"),
            std::string::npos);
}

}  // namespace
}  // namespace mt::train
