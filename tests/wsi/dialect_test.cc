// What each dialect makes of its file: levels, physical size, associated images, quirks.

#include <gtest/gtest.h>
#include <zlib.h>

#include "tensor/check.h"
#include "tensor/rng.h"
#include "tests/wsi/tiny_tiff.h"
#include "wsi/dialects/dialect.h"
#include "wsi/png.h"
#include "wsi/slide.h"

namespace mt::wsi {
namespace {

using namespace testing;

TinyImage level_image(int64_t width, int64_t height, int plane, uint32_t subfile_type) {
  TinyImage image;
  image.width = width;
  image.height = height;
  image.subfile_type = subfile_type;
  image.pixel = gradient(plane);
  return image;
}

TEST(GenericTest, LevelsAreSortedByWidthWithOrWithoutTheReducedBit) {
  for (const uint32_t bit : {0U, 1U}) {
    const auto path = temporary_path(fmt::format("bit{}", bit));
    write_tiny_tiff(path,
                    {level_image(200, 160, 1, 0), level_image(50, 40, 3, bit), level_image(100, 80, 2, bit)});
    const auto slide = Slide::open(path);
    ASSERT_EQ(slide->level_count(), 3);
    EXPECT_EQ(slide->levels()[1].width, 100);
    EXPECT_EQ(slide->levels()[2].downsample, 4.0);
    EXPECT_EQ(slide->read_region(0, 0, 2, 10, 10).pixels,
              expected_region(gradient(3), 50, 40, 0, 0, 10, 10).pixels);
  }
}

TEST(GenericTest, PagesOfAnotherShapeMasksAndStripsAreNotLevels) {
  TinyImage strips = level_image(100, 80, 2, 1);
  strips.tile = 0;
  const auto path = temporary_path("pages");
  write_tiny_tiff(path, {level_image(200, 160, 1, 0), level_image(100, 30, 2, 0), level_image(100, 80, 2, 5),
                         strips, level_image(200, 160, 4, 0)});
  EXPECT_EQ(Slide::open(path)->level_count(), 1);
}

TEST(GenericTest, SubImagesAreLevels) {
  TinyImage first = level_image(200, 160, 1, 0);
  first.sub_images = 2;
  const auto path = temporary_path("subifd");
  write_tiny_tiff(path, {first, level_image(100, 80, 2, 1), level_image(50, 40, 3, 1)}, "wb8");
  const auto slide = Slide::open(path);
  ASSERT_EQ(slide->level_count(), 3);
  EXPECT_EQ(slide->read_region(8, 4, 1, 20, 20).pixels,
            expected_region(gradient(2), 100, 80, 4, 2, 20, 20).pixels);
}

TEST(GenericTest, ResolutionHasAUnit) {
  for (const auto& [unit, mpp_x] : {std::pair<uint16_t, double>{2, 25400.0 / 50800}, {3, 10000.0 / 50800}}) {
    TinyImage image;
    image.x_resolution = 50800;
    image.y_resolution = 25400;
    image.resolution_unit = unit;
    const auto path = temporary_path(fmt::format("unit{}", unit));
    write_tiny_tiff(path, {image});
    const auto slide = Slide::open(path);
    EXPECT_NEAR(*slide->mpp_x(), mpp_x, 1e-9);
    EXPECT_NEAR(*slide->mpp_y(), 2 * mpp_x, 1e-9);
    EXPECT_NEAR(*slide->mpp(), 1.5 * mpp_x, 1e-9);
  }
  TinyImage none;
  none.x_resolution = none.y_resolution = 50800;
  none.resolution_unit = 1;
  const auto path = temporary_path("no_unit");
  write_tiny_tiff(path, {none});
  EXPECT_FALSE(Slide::open(path)->mpp());
}

TEST(AperioTest, DescriptionAndStrippedImagesAreUnderstood) {
  TinyImage first = level_image(200, 160, 1, 0), thumbnail = level_image(50, 40, 2, 0),
            label = level_image(30, 35, 3, 1), macro = level_image(60, 20, 4, 9);
  first.description =
      "Aperio Image Library v11\r\n200x160 (32x32)|AppMag = 40|MPP = 0,2525| Odd Key = a = b |noise";
  thumbnail.tile = label.tile = macro.tile = 0;
  label.compression = 5;
  label.predictor = 2;
  const auto path = temporary_path("svs");
  write_tiny_tiff(path, {first, thumbnail, level_image(50, 40, 5, 0), label, macro});
  const auto slide = Slide::open(path);
  EXPECT_EQ(slide->dialect(), "aperio");
  EXPECT_EQ(slide->mpp(), 0.2525);  // a decimal comma
  EXPECT_EQ(slide->objective_power(), 40.0);
  EXPECT_EQ(slide->properties().at("aperio.Odd Key"), "a = b");
  ASSERT_EQ(slide->level_count(), 2);
  EXPECT_EQ(slide->levels()[1].downsample, 4.0);
  EXPECT_EQ(slide->associated_names(), (std::vector<std::string>{"label", "macro", "thumbnail"}));
  EXPECT_EQ(slide->associated("label").pixels, expected_region(gradient(3), 30, 35, 0, 0, 30, 35).pixels);
  EXPECT_EQ(slide->associated("macro").pixels, expected_region(gradient(4), 60, 20, 0, 0, 60, 20).pixels);
  EXPECT_EQ(slide->associated("thumbnail").pixels, expected_region(gradient(2), 50, 40, 0, 0, 50, 40).pixels);
}

TEST(AperioTest, AMissingTileIsRenderedFromTheNeighbouringLevel) {
  // Level 0 rises by one per pixel, so the mean of 2 x 2 pixels at (2x, 2y) is 2x + 0.5, rounded up to 2x
  // + 1.
  TinyImage first = level_image(128, 128, 0, 0), second = level_image(64, 64, 9, 0);
  first.description = "Aperio";
  second.missing_tiles = {1};
  const auto path = temporary_path("from_finer");
  write_tiny_tiff(path, {first, second});
  const auto slide = Slide::open(path);
  const RgbaImage region = slide->read_region_rgba(0, 0, 1, 64, 64);
  EXPECT_EQ(region.at(10, 10)[2], 9 * 16);  // a tile that is there
  for (const auto& [x, y] : {std::pair{32, 0}, {63, 31}, {40, 17}}) {
    EXPECT_EQ(region.at(x, y)[0], 2 * x + 1);
    EXPECT_EQ(region.at(x, y)[1], 2 * y + 1);
    EXPECT_EQ(region.at(x, y)[3], 255);
  }
  // Level 0 has only the coarser one to look to.
  first.missing_tiles = {0};
  second.missing_tiles = {};
  const auto other = temporary_path("from_coarser");
  write_tiny_tiff(other, {first, second});
  const RgbImage coarse = Slide::open(other)->read_region(0, 0, 0, 32, 32);
  EXPECT_EQ(coarse.at(21, 10)[0], 10);
  EXPECT_EQ(coarse.at(21, 10)[1], 5);
}

std::string spacing(const char* row, const char* column) {
  return fmt::format(R"(<Attribute Name="DICOM_PIXEL_SPACING">"{}" "{}"</Attribute>)", row, column);
}

/// The XML of a slide whose levels have these spacings; `more` are further scanned images.
std::string philips_xml(const std::vector<std::string>& spacings, const std::string& more = "") {
  std::string levels;
  for (const std::string& level : spacings)
    levels += "<DataObject ObjectType=\"PixelDataRepresentation\">" + level + "</DataObject>";
  return R"(<?xml version="1.0"?><DataObject ObjectType="DPUfsImport"><Attribute Name="DICOM_MANUFACTURER">PHILIPS</Attribute>)"
         R"(<Attribute Name="PIM_DP_SCANNED_IMAGES"><Array><DataObject ObjectType="DPScannedImage">)"
         R"(<Attribute Name="PIM_DP_IMAGE_TYPE">WSI</Attribute>)" +
         std::string(R"(<Attribute Name="PIIM_PIXEL_DATA_REPRESENTATION_SEQUENCE"><Array>)") + levels +
         "</Array></Attribute></DataObject>" + more + "</Array></Attribute></DataObject>";
}

std::filesystem::path philips_slide(const std::string& name, const std::string& xml) {
  // 160 x 96 level 0; level 1 truly is 80 x 48 but padded to tiles of 32: 96 x 64.
  TinyImage first = level_image(160, 96, 1, 0), second = level_image(96, 64, 2, 1),
            macro = level_image(40, 20, 3, 1);
  first.description = xml;
  first.software = "Philips DP v1.0";
  first.missing_tiles = {1};
  macro.tile = 0;
  macro.description = "Macro";
  const auto path = temporary_path(name);
  write_tiny_tiff(path, {first, second, macro}, "w8");
  return path;
}

TEST(PhilipsTest, TrueSizesComeFromTheSpacings) {
  const auto slide = Slide::open(philips_slide(
      "sizes", philips_xml({spacing("0.000226907", "0.000243"), spacing("0.000453814", "0.00048601")})));
  EXPECT_EQ(slide->dialect(), "philips");
  EXPECT_NEAR(*slide->mpp_y(), 0.226907, 1e-12);  // row spacing first
  EXPECT_NEAR(*slide->mpp_x(), 0.243, 1e-12);
  ASSERT_EQ(slide->level_count(), 2);
  EXPECT_EQ(slide->levels()[1].width, 80);
  EXPECT_EQ(slide->levels()[1].height, 48);
  EXPECT_EQ(slide->levels()[1].downsample, 2.0);
  EXPECT_EQ(slide->properties().at("philips.DICOM_MANUFACTURER"), "PHILIPS");
  // Padding is outside, a missing tile is glass.
  const RgbaImage corner = slide->read_region_rgba(156, 92, 1, 4, 4);
  EXPECT_EQ(corner.at(1, 1)[3], 255);
  EXPECT_EQ(corner.at(2, 1)[3], 0);
  EXPECT_EQ(slide->read_region(32, 0, 0, 32, 32).pixels, RgbImage(32, 32, 255).pixels);
  EXPECT_EQ(slide->associated("macro").pixels, expected_region(gradient(3), 40, 20, 0, 0, 40, 20).pixels);
}

TEST(PhilipsTest, LabelAndMacroMayBeBase64Jpegs) {
  // A grey JPEG of 2 x 1 pixels of value 128, written by Pillow at quality 50.
  const std::string jpeg =
      "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABALDA4MChAODQ4SERATGCgaGBYWGDEjJR0oOjM9PDkzODdASFxOQERXRTc4UG1R"
      "V19iZ2hnPk1xeXBkeFxlZ2P/wAALCAABAAIBAREA/8QAFAABAAAAAAAAAAAAAAAAAAAAAP/EABQQAQAAAAAAAAAAAAAAAAAA"
      "AAD/2gAIAQEAAD8AP//Z";
  const std::string more =
      R"(<DataObject><Attribute Name="PIM_DP_IMAGE_TYPE">LABELIMAGE</Attribute><Attribute Name="PIM_DP_IMAGE_DATA">)" +
      jpeg.substr(0, 60) + "\n" + jpeg.substr(60) + "</Attribute></DataObject>";
  const auto slide = Slide::open(philips_slide("label", philips_xml({spacing("0.0002", "0.0002")}, more)));
  EXPECT_EQ(slide->associated_names(), (std::vector<std::string>{"label", "macro"}));
  const RgbImage label = slide->associated("label");
  ASSERT_EQ(label.width, 2);
  ASSERT_EQ(label.height, 1);
  EXPECT_EQ(label.pixels, std::vector<uint8_t>(6, 128));
}

TEST(PhilipsTest, BrokenXmlIsNamed) {
  const auto text_of = [](const std::string& name, const std::string& xml) {
    return error_of([&] { Slide::open(philips_slide(name, xml)); });
  };
  const std::string good = philips_xml({spacing("0.0002", "0.0002")});
  EXPECT_NE(text_of("cut", good.substr(0, good.size() / 2)).find("Philips XML"), std::string::npos);
  EXPECT_NE(text_of("none", "<DataObject ObjectType='DPUfsImport'/>").find("no image of type WSI"),
            std::string::npos);
  EXPECT_NE(
      text_of(
          "two",
          philips_xml({}, R"(<DataObject><Attribute Name="PIM_DP_IMAGE_TYPE">WSI</Attribute></DataObject>)"))
          .find("more than one"),
      std::string::npos);
  EXPECT_NE(
      text_of("finer", philips_xml({spacing("0.002", "0.002"), spacing("0.0002", "0.0002")})).find("finer"),
      std::string::npos);
  EXPECT_FALSE(Slide::open(philips_slide("no_spacing", philips_xml({spacing("nan", "-1")})))->mpp());
}

TEST(DialectTest, NumbersAreReadStrictly) {
  EXPECT_EQ(positive_number(" 0,25 "), 0.25);
  EXPECT_EQ(positive_number("\"0.5\" x"), 0.5);
  for (const char* text : {"", " ", "x", "-1", "0", "nan", "inf", "1e999", ",", "\""}) {
    EXPECT_FALSE(positive_number(text)) << text;
  }
}

TEST(PngTest, HoldsTheSizeAndReplacesTheFileAtOnce) {
  const auto path = temporary_path("picture.png");
  write_png(path, RgbImage(5, 7, 200));
  const std::vector<uint8_t> bytes = file_bytes(path);
  ASSERT_GT(bytes.size(), 33U);
  // Signature, then IHDR: width and height in big-endian, 8 bits, colour type 2 (PNG specification,
  // section 11.2.2).
  EXPECT_EQ(std::vector<uint8_t>(bytes.begin(), bytes.begin() + 8),
            (std::vector<uint8_t>{0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'}));
  EXPECT_EQ(std::vector<uint8_t>(bytes.begin() + 16, bytes.begin() + 26),
            (std::vector<uint8_t>{0, 0, 0, 5, 0, 0, 0, 7, 8, 2}));
  error_of([] { write_png("/nonexistent/folder/picture.png", RgbImage(1, 1)); });
  error_of([&] { write_png(path, RgbImage()); });
}

/// The pixels of a PNG whose rows are all filtered by "sub", as png.cc writes them.
std::vector<uint8_t> decoded_png(const std::string& png, int64_t width, int64_t height, int channels) {
  std::string deflated;
  for (std::size_t at = 8; at + 8 < png.size();) {
    std::size_t length = 0;
    for (std::size_t i = 0; i < 4; ++i) length = length << 8 | static_cast<unsigned char>(png[at + i]);
    if (png.compare(at + 4, 4, "IDAT") == 0) deflated.append(png, at + 8, length);
    at += length + 12;
  }
  const auto row = static_cast<std::size_t>(width * channels);
  std::vector<uint8_t> rows((row + 1) * static_cast<std::size_t>(height)), pixels;
  uLongf bytes = rows.size();
  EXPECT_EQ(uncompress(rows.data(), &bytes, reinterpret_cast<const Bytef*>(deflated.data()), deflated.size()),
            Z_OK);
  EXPECT_EQ(bytes, rows.size());
  for (std::size_t y = 0; y < static_cast<std::size_t>(height); ++y) {
    EXPECT_EQ(rows[y * (row + 1)], 1);
    for (std::size_t i = 0; i < row; ++i) {
      const uint8_t left = i < static_cast<std::size_t>(channels)
                               ? 0
                               : pixels[pixels.size() - static_cast<std::size_t>(channels)];
      pixels.push_back(static_cast<uint8_t>(rows[y * (row + 1) + 1 + i] + left));
    }
  }
  return pixels;
}

TEST(PngTest, HoldsThePixelsInManyBands) {
  // 1.5 MB of rows: two bands, and a last row of its own.
  RgbImage image(1000, 501);
  RgbaImage with_alpha(1000, 301);
  RandomStream random(1, Purpose::test);
  for (uint8_t& sample : image.pixels) sample = static_cast<uint8_t>(random.next());
  for (uint8_t& sample : with_alpha.pixels) sample = static_cast<uint8_t>(random.next() & 3);
  EXPECT_TRUE(decoded_png(encode_png(image), 1000, 501, 3) == image.pixels);
  EXPECT_TRUE(decoded_png(encode_png(with_alpha), 1000, 301, 4) == with_alpha.pixels);
  EXPECT_LT(encode_png(RgbImage(4096, 4096, 240)).size(), 300000U);
}

}  // namespace
}  // namespace mt::wsi
