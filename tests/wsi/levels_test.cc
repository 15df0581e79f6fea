// Which images become levels, what a pixel's size is, and what is refused or left out.

#include <gtest/gtest.h>

#include <cmath>

#include "tensor/check.h"
#include "tests/wsi/tiny_tiff.h"
#include "wsi/dialects/levels.h"
#include "wsi/slide.h"

namespace mt::wsi {
namespace {

using namespace testing;

TinyImage sized(int64_t width, int64_t height, int plane = 0, uint32_t subfile_type = 0) {
  TinyImage image;
  image.width = width;
  image.height = height;
  image.subfile_type = subfile_type;
  image.pixel = gradient(plane);
  return image;
}

std::unique_ptr<Slide> opened(const std::string& name, const std::vector<TinyImage>& images,
                              const OpenOptions& options = {}) {
  const auto path = temporary_path(name);
  write_tiny_tiff(path, images);
  return Slide::open(path, options);
}

bool has_note(const Slide& slide, const std::string& part) {
  return std::any_of(slide.notes().begin(), slide.notes().end(),
                     [&](const std::string& note) { return note.find(part) != std::string::npos; });
}

TEST(LevelsTest, AReductionDividesBothSidesByOneWholeNumber) {
  const auto is_level = [](int64_t width, int64_t height, int64_t w, int64_t h) {
    TiffDirectory finest, page;
    finest.width = width, finest.height = height;
    page.width = w, page.height = h;
    return is_reduction_of(finest, page);
  };
  // Rounded down, up, and twice over; levels of a real Aperio slide.
  for (const auto& [w, h] : {std::pair{866, 699}, {867, 700}, {433, 349}, {434, 350}, {216, 174}})
    EXPECT_TRUE(is_level(1733, 1399, w, h)) << w;
  EXPECT_TRUE(is_level(46000, 32914, 11500, 8228));
  EXPECT_TRUE(is_level(46000, 32914, 2875, 2057));
  // A label, a macro, a thumbnail; the slide itself.
  for (const auto& [w, h] :
       {std::pair{900, 300}, {387, 463}, {1280, 431}, {1733, 1399}, {1200, 969}, {866, 600}})
    EXPECT_FALSE(is_level(1733, 1399, w, h)) << w;
}

TEST(LevelsTest, ATiledLabelIsNoLevelWhateverItsBitSays) {
  const auto slide = opened("generic", {sized(256, 256, 1), sized(128, 128, 2, 1), sized(225, 75, 3, 1)});
  ASSERT_EQ(slide->level_count(), 2);
  EXPECT_EQ(slide->levels()[1].width, 128);
  EXPECT_TRUE(has_note(*slide, "225 x 75"));
  // One of the slide's own shape is told by its description.
  TinyImage label = sized(64, 64, 3, 1);
  label.description = "Label";
  EXPECT_EQ(opened("named", {sized(256, 256, 1), label})->level_count(), 1);
}

TEST(LevelsTest, TiledPicturesOfAperioAreNoLevels) {
  TinyImage first = sized(256, 256, 1);
  first.description = "Aperio Image Library v11\r\n256x256|MPP = 0.5";
  TinyImage macro = sized(225, 75, 3, 9), label = sized(90, 100, 4, 1), level = sized(128, 128, 2, 1);
  macro.description = "Aperio Image Library v11\r\nmacro 225x75";
  label.description = "Aperio Image Library v11\r\nlabel 90x100";
  const auto slide = opened("aperio", {first, level, macro, label});
  ASSERT_EQ(slide->level_count(), 2);
  EXPECT_EQ(slide->levels()[1].downsample, 2);
  EXPECT_EQ(slide->associated_names(), (std::vector<std::string>{"label", "macro"}));
  EXPECT_EQ(slide->associated("macro").pixels, expected_region(gradient(3), 225, 75, 0, 0, 225, 75).pixels);
  // A slide may be called after a label.
  first.description += "|Filename = label_7";
  EXPECT_EQ(opened("called", {first, level})->level_count(), 2);
}

TEST(LevelsTest, APyramidMayBeginWithItsSmallestImage) {
  TinyImage largest = sized(200, 160, 1);
  largest.x_resolution = largest.y_resolution = 20000;
  const auto slide = opened("reversed", {sized(50, 40, 3), sized(100, 80, 2), largest});
  ASSERT_EQ(slide->level_count(), 3);
  EXPECT_EQ(slide->levels()[0].width, 200);
  EXPECT_EQ(slide->mpp(), 0.5);
  EXPECT_EQ(slide->read_region(0, 0, 0, 20, 20).pixels,
            expected_region(gradient(1), 200, 160, 0, 0, 20, 20).pixels);
}

TEST(LevelsTest, ALevelThatCannotBeDecodedIsLeftOutWithANote) {
  TinyImage turned = sized(100, 80, 2, 1);
  turned.orientation = 3;
  const auto slide = opened("turned", {sized(200, 160, 1), turned, sized(50, 40, 3, 1)});
  ASSERT_EQ(slide->level_count(), 2);
  EXPECT_EQ(slide->levels()[1].downsample, 4);
  EXPECT_TRUE(has_note(*slide, "Orientation 3"));
  EXPECT_EQ(slide->read_region(0, 0, 1, 20, 20).pixels,
            expected_region(gradient(3), 50, 40, 0, 0, 20, 20).pixels);
}

TEST(LevelsTest, ALaterImageThatCannotBeReadIsLeftOutWithANote) {
  const auto path = temporary_path("unreadable");
  write_tiny_tiff(path, {sized(200, 160, 1), sized(100, 80, 2, 1), sized(50, 40, 3, 1)}, "wl");
  std::vector<uint8_t> bytes = file_bytes(path);
  // ImageLength (257, SHORT) of the second image becomes a tag that no image needs.
  const std::vector<uint8_t> entry{0x01, 0x01, 3, 0, 1, 0, 0, 0, 80, 0};
  const auto found = std::search(bytes.begin(), bytes.end(), entry.begin(), entry.end());
  ASSERT_NE(found, bytes.end());
  found[0] = 0x02, found[1] = 0x01;
  write_bytes(path, bytes);
  const auto slide = Slide::open(path);
  ASSERT_EQ(slide->level_count(), 2);
  EXPECT_EQ(slide->levels()[1].width, 50);
  EXPECT_TRUE(has_note(*slide, "image 1 cannot be read and is left out")) << slide->notes().size();
}

TEST(LevelsTest, OrientationAndSignedSamplesOfLevel0AreRefused) {
  TinyImage image;
  for (uint16_t orientation = 2; orientation <= 8; ++orientation) {
    image.orientation = orientation;
    const std::string error = error_of([&] { opened("turned", {image}); });
    EXPECT_NE(error.find(fmt::format("Orientation {}", orientation)), std::string::npos) << error;
  }
  image = {};
  image.sample_format = 2;
  EXPECT_NE(error_of([&] { opened("signed", {image}); }).find("signed"), std::string::npos);
}

std::unique_ptr<Slide> with_resolution(float pixels_per_unit, uint16_t unit,
                                       const OpenOptions& options = {}) {
  TinyImage image;
  image.x_resolution = image.y_resolution = pixels_per_unit;
  image.resolution_unit = unit;
  return opened(fmt::format("{}_{}", pixels_per_unit, unit), {image}, options);
}

TEST(MppTest, TheUnitOfTheResolutionCounts) {
  EXPECT_NEAR(*with_resolution(101600, 2)->mpp(), 0.25, 1e-9);  // pixels per inch
  EXPECT_NEAR(*with_resolution(40000, 3)->mpp(), 0.25, 1e-9);
  EXPECT_NEAR(*with_resolution(4000, 4)->mpp(), 0.25, 1e-9);  // millimetres, which libtiff takes for inches
  EXPECT_NEAR(*with_resolution(4, 5)->mpp(), 0.25, 1e-9);     // micrometres
  EXPECT_FALSE(with_resolution(40000, 1)->mpp());
  EXPECT_FALSE(with_resolution(40000, 6)->mpp());
  EXPECT_FALSE(with_resolution(40000, 77)->mpp());
}

std::unique_ptr<Slide> with_aperio_mpp(const std::string& mpp, const OpenOptions& options = {}) {
  TinyImage image;
  image.description = "Aperio|AppMag = 20|MPP = " + mpp;
  return opened("mpp" + mpp, {image}, options);
}

TEST(MppTest, WhatNoScannerHasIsLeftAsideWithANote) {
  for (const float per_cm : {1e9F, 28.346F, 400.0F}) {  // 1e-5, 353 and 25 um/px
    const auto slide = with_resolution(per_cm, 3);
    EXPECT_FALSE(slide->mpp());
    EXPECT_TRUE(has_note(*slide, "its resolution tag says"));
  }
  for (const char* mpp : {"1e-30", "1000", "1e30", "0.01", "abc", "0", "-0.25"}) {
    const auto slide = with_aperio_mpp(mpp);
    EXPECT_FALSE(slide->mpp()) << mpp;
    EXPECT_TRUE(has_note(*slide, "its MPP says")) << mpp;
  }
  for (const char* mpp : {"0.05", "0.1", "20"}) EXPECT_TRUE(with_aperio_mpp(mpp)->notes().empty()) << mpp;
}

TEST(MppTest, WhatIsGivenFillsInAndOnlyTheOverrideReplaces) {
  OpenOptions fill;
  fill.mpp_if_missing = 0.5;
  EXPECT_NEAR(*with_resolution(40000, 3, fill)->mpp(), 0.25, 1e-9);
  EXPECT_EQ(with_resolution(0, 3, fill)->mpp(), 0.5);
  EXPECT_EQ(with_resolution(1e9F, 3, fill)->mpp(), 0.5);
  EXPECT_EQ(with_aperio_mpp("0.4", fill)->mpp(), 0.4);
  EXPECT_EQ(with_aperio_mpp("1e30", fill)->mpp(), 0.5);
  OpenOptions replace;
  replace.mpp_override = 0.3;
  EXPECT_EQ(with_resolution(40000, 3, replace)->mpp(), 0.3);
  replace.mpp_if_missing = 0.5;
  EXPECT_EQ(with_resolution(0, 3, replace)->mpp(), 0.3);
  for (const double mpp : {0.0, -1.0, 0.001, 100.0, std::nan("")}) {
    OpenOptions bad;
    bad.mpp_if_missing = mpp;
    EXPECT_NE(error_of([&] { with_resolution(40000, 3, bad); }).find("0.05 to 20"), std::string::npos);
  }
}

TEST(MppTest, AperioWithoutMppTakesItsTagsAndNamesItsObjective) {
  TinyImage image;
  image.description = "Aperio|AppMag = 40";
  image.x_resolution = image.y_resolution = 40000;
  EXPECT_NEAR(*opened("tags", {image})->mpp(), 0.25, 1e-9);
  image.description += "|MPP = 1000";
  const auto slide = opened("both", {image});
  EXPECT_NEAR(*slide->mpp(), 0.25, 1e-9);
  EXPECT_TRUE(has_note(*slide, "its MPP says 1000"));
  image = {};
  image.description = "Aperio|AppMag = 40";
  const std::string error = error_of([&] { opened("none", {image})->read_at_mpp(0, 0, 0.5, 8, 8); });
  EXPECT_NE(error.find("40x objectives have about 0.25"), std::string::npos) << error;
}

TinyImage ome_image(const std::string& pixels, const std::string& more = "") {
  TinyImage image = sized(200, 160, 1);
  image.description =
      R"(<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">)" +
      more + R"(<Image ID="Image:0" Name="H&amp;E"><Pixels SizeX="200" SizeY="160" SizeC="3" )" + pixels +
      "/></Image></OME>";
  return image;
}

TEST(OmeTest, PhysicalSizeHasAUnit) {
  const auto mpp_of = [](const char* size, const char* unit) {
    return opened("unit", {ome_image(fmt::format("PhysicalSizeX='{0}' PhysicalSizeY='{0}' {1}", size, unit))})
        ->mpp();
  };
  EXPECT_EQ(mpp_of("0.25", ""), 0.25);
  EXPECT_EQ(mpp_of("0.25", "PhysicalSizeXUnit='\xC2\xB5m' PhysicalSizeYUnit='\xC2\xB5m'"), 0.25);
  EXPECT_NEAR(*mpp_of("250", "PhysicalSizeXUnit='nm' PhysicalSizeYUnit='nm'"), 0.25, 1e-12);
  EXPECT_NEAR(*mpp_of("0.00025", "PhysicalSizeXUnit='mm' PhysicalSizeYUnit='mm'"), 0.25, 1e-12);
  EXPECT_FALSE(mpp_of("1", "PhysicalSizeXUnit='pixel' PhysicalSizeYUnit='pixel'"));
  EXPECT_FALSE(mpp_of("0.25", "PhysicalSizeXUnit='mm' PhysicalSizeYUnit='mm'"));  // 250 um
}

TEST(OmeTest, ObjectiveLevelsInSubIfdsAndName) {
  TinyImage first =
      ome_image("PhysicalSizeX='0.25' PhysicalSizeY='0.5'",
                "<Instrument><Objective ID='Objective:0' NominalMagnification='40'/></Instrument>");
  first.sub_images = 1;
  const auto slide = opened("sub", {first, sized(100, 80, 2, 1)});
  EXPECT_EQ(slide->dialect(), "ome");
  ASSERT_EQ(slide->level_count(), 2);
  EXPECT_EQ(slide->mpp_x(), 0.25);
  EXPECT_EQ(slide->mpp_y(), 0.5);
  EXPECT_EQ(slide->objective_power(), 40);
  EXPECT_EQ(slide->properties().at("ome.Name"), "H&E");
}

TEST(OmeTest, SeparateColourPlanesAreJoined) {
  for (const uint16_t compression : std::initializer_list<uint16_t>{1, 5, 8}) {
    TinyImage image = ome_image("PhysicalSizeX='0.25' PhysicalSizeY='0.25'");
    image.separate_planes = true;
    image.compression = compression;
    image.predictor = compression == 1 ? 1 : 2;
    EXPECT_EQ(opened("planar", {image})->read_region(30, 40, 0, 90, 70).pixels,
              expected_region(gradient(1), 200, 160, 30, 40, 90, 70).pixels);
  }
}

TEST(AlphaTest, IsCarriedAndBlendedOverTheBackground) {
  for (const uint16_t kind : std::initializer_list<uint16_t>{1, 2}) {  // colours multiplied by alpha, and not
    TinyImage image;
    image.samples = 4;
    image.extra_sample = kind;
    image.alpha = [](int64_t x, int64_t) { return static_cast<uint8_t>(x < 20 ? 0 : x < 40 ? 128 : 255); };
    image.pixel = [](int64_t, int64_t) { return Colour{100, 60, 20}; };
    const auto slide = opened(fmt::format("kind{}", kind), {image});
    const RgbaImage rgba = slide->read_region_rgba(0, 0, 0, 60, 10);
    const RgbImage rgb = slide->read_region(0, 0, 0, 60, 10);
    EXPECT_EQ(rgba.at(5, 5)[3], 0);
    EXPECT_EQ(rgba.at(30, 5)[3], 128);
    EXPECT_EQ(rgba.at(50, 5)[3], 255);
    EXPECT_EQ(rgb.at(5, 5)[0], 255);
    EXPECT_EQ(rgb.at(50, 5)[0], 100);
    const int colour = kind == 1 ? (100 * 255 + 64) / 128 : 100;  // 199 or 100
    EXPECT_EQ(rgba.at(30, 5)[0], colour);
    EXPECT_EQ(rgb.at(30, 5)[0], (colour * 128 + 255 * 127 + 127) / 255);
  }
  // A fourth sample that nobody gives a meaning hides nothing.
  TinyImage image;
  image.samples = 4;
  image.alpha = [](int64_t, int64_t) { return uint8_t{0}; };
  EXPECT_EQ(opened("unsaid", {image})->read_region_rgba(0, 0, 0, 1, 1).at(0, 0)[3], 255);
}

TEST(MissingTilesTest, AreCountedAndThoseOfAnEncoderNoted) {
  TinyImage first = sized(128, 128);
  first.missing_tiles = {0, 5};
  const auto generic = opened("generic", {first});
  EXPECT_EQ(generic->missing_tiles(0), 2);
  EXPECT_EQ(generic->tile_count(0), 16);
  EXPECT_TRUE(generic->notes().empty());  // bare glass
  first.description = "Aperio";
  const auto aperio = opened("aperio", {first, sized(64, 64)});
  EXPECT_TRUE(has_note(*aperio, "level 0 lacks 2 of its 16 tiles"));
  EXPECT_EQ(aperio->missing_tiles(1), 0);
}

TEST(SparseTest, ASlideOfGlassAloneTakesNoTime) {
  // 250,000 x 250,000 pixels in one level with one tile stored; read whole, it would be 190 GB.
  const auto path = temporary_path("sparse");
  TinyImage image = sized(250000, 250000);
  image.tile = 1024;
  image.only_tile = 3000;  // 245 tiles across: column 60, row 12
  image.pixel = [](int64_t, int64_t) { return Colour{10, 20, 30}; };
  write_tiny_tiff(path, {image}, "w8");
  const auto slide = Slide::open(path);
  EXPECT_EQ(slide->missing_tiles(0), slide->tile_count(0) - 1);
  const RgbImage thumbnail = slide->thumbnail(500);  // a pixel is 500 x 500
  EXPECT_EQ(thumbnail.at(0, 0)[0], 255);
  EXPECT_EQ(thumbnail.at(499, 499)[2], 255);
  EXPECT_EQ(thumbnail.at(60 * 1024 / 500 + 1, 12 * 1024 / 500 + 1)[0], 10);
}

}  // namespace
}  // namespace mt::wsi
