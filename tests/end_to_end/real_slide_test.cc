// The programs on a slide of a real scanner, CMU-1-Small-Region.svs: 2220 x 2967 pixels at 0.499 um, 20x.
// tests/wsi/real_slides_test.cc holds its pixels against OpenSlide's.

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "tests/end_to_end/programs.h"
#include "train/feature_files/feature_files.h"
#include "wsi/png.h"
#include "wsi/slide.h"

namespace mt::end_to_end {
namespace {

constexpr const char* kName = "CMU-1-Small-Region";

class RealSlide : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* slides = std::getenv("MICROTOME_TEST_SLIDES");
    if (slides == nullptr) GTEST_SKIP() << "MICROTOME_TEST_SLIDES does not name a folder of real slides";
    path_ = fs::path(slides) / (std::string(kName) + ".svs");
    if (!fs::exists(path_)) GTEST_SKIP() << path_ << " is not there";
  }

  /// Runs `slide`, which must end well, and gives what it printed.
  std::string slide_says(const Arguments& arguments) const {
    const auto result = slide(arguments);
    EXPECT_EQ(result.exit_code, 0) << result.str();
    EXPECT_EQ(result.err, "");
    return result.out;
  }

  TemporaryFolder folder_;
  fs::path path_;
};

TEST_F(RealSlide, InfoSaysItsSizeAndMagnification) {
  const std::string text = slide_says({"info", path_});
  for (const char* part : {"aperio", "0.499 x 0.499 um", "20x", "level 0     2220 x 2967", "macro"})
    EXPECT_NE(text.find(part), std::string::npos) << part << ": " << text;
  const auto json = nlohmann::json::parse(slide_says({"info", path_, "--json"}));
  EXPECT_EQ(json.at("format"), "aperio");
  EXPECT_EQ(json.at("mpp_x"), 0.499);
  EXPECT_EQ(json.at("mpp_y"), 0.499);
  EXPECT_EQ(json.at("objective_power"), 20.0);
  ASSERT_EQ(json.at("levels").size(), 1U);
  EXPECT_EQ(json.at("levels")[0].at("height"), 2967);
  EXPECT_EQ(json.at("associated"), (std::vector<std::string>{"label", "macro", "thumbnail"}));
  EXPECT_EQ(json.at("properties").at("aperio.MPP"), "0.4990");
}

TEST_F(RealSlide, PicturesAreThoseOfTheLibrary) {
  const auto opened = wsi::Slide::open(path_);
  slide_says({"thumb", path_, folder_ / "thumb.png", "--size", "500"});
  EXPECT_EQ(text_of(folder_ / "thumb.png"), wsi::encode_png(opened->thumbnail(500)));
  slide_says({"thumb", path_, folder_ / "macro.png", "--picture", "macro"});
  EXPECT_EQ(text_of(folder_ / "macro.png"), wsi::encode_png(opened->associated("macro")));
  slide_says({"region", path_, "500", "700", "300", "200", folder_ / "region.png"});
  EXPECT_EQ(text_of(folder_ / "region.png"), wsi::encode_png(opened->read_region(500, 700, 0, 300, 200)));
  slide_says({"region", path_, "500", "700", "300", "200", folder_ / "coarse.png", "--mpp", "1"});
  EXPECT_EQ(text_of(folder_ / "coarse.png"), wsi::encode_png(opened->read_at_mpp(500, 700, 1.0, 300, 200)));
}

TEST_F(RealSlide, IsTiledAndPredictedByARunOfOtherSlides) {
  // 0.499 um is taken for 0.5: 22 x 30 patches of 128 px, 96 px apart, of which a third is tissue.
  const std::string said =
      slide_says({"tissue", path_, folder_ / "tissue.png", "--patch", "128", "--overlap", "32"});
  long long tiles = 0;
  long long grid = 0;
  ASSERT_EQ(std::sscanf(said.c_str(), "%lld of %lld patches of 128 px (128.0 level-0 px)", &tiles, &grid), 2)
      << said;
  EXPECT_EQ(grid, 22 * 30);
  EXPECT_GT(tiles, grid / 4);
  EXPECT_LT(tiles, grid / 2);
  EXPECT_EQ(text_of(folder_ / "tissue.png").substr(1, 3), "PNG");

  const auto trained =
      train({"--data", write_csv(folder_, csv_slides(1)), "--preset", "tiny", "--method", "mil", "--pretrain",
             "none", "--mpp", "0.5", "--patch", "128", "--overlap", "32", "--run", folder_ / "run"});
  ASSERT_EQ(trained.exit_code, 0) << trained.str();
  const auto result = predict({"--run", folder_ / "run", "--out", folder_ / "out", path_.string()});
  ASSERT_EQ(result.exit_code, 0) << result.str();
  EXPECT_NE(result.out.find(std::string("\n") + kName), std::string::npos) << result.out;
  const train::SlideFeatures features =
      train::read_features(folder_ / "out" + std::string("/") + kName + ".h5");
  EXPECT_EQ(features.features.dim(0), tiles);
  EXPECT_EQ(features.attributes.patch_size_level0, 128);
  EXPECT_EQ(features.attributes.overlap, 32);
  EXPECT_EQ(features.attributes.level0_width, 2220);
  ASSERT_TRUE(features.attributes.level0_magnification.has_value());
  EXPECT_NEAR(*features.attributes.level0_magnification, 20, 0.1);
  ASSERT_EQ(features.instances.size(), 2U);
  for (const auto& [name, values] : features.instances) {
    EXPECT_TRUE(name == "instance_scores" || name == "attention") << name;
    for (const float value : values.span<float>()) {
      EXPECT_GE(value, 0.0F);
      EXPECT_LE(value, 1.0F);
    }
  }
  EXPECT_EQ(text_of(folder_ / "out" + std::string("/") + kName + "_heatmap.png").substr(1, 3), "PNG");
}

}  // namespace
}  // namespace mt::end_to_end
