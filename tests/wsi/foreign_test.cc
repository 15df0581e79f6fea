// Files that look like slides and are none that is read here: each is told by its name, with what to do.

#include <gtest/gtest.h>

#include "tensor/check.h"
#include "tests/wsi/tiny_tiff.h"
#include "wsi/slide.h"

namespace mt::wsi {
namespace {

using namespace testing;

std::string refusal_of(const std::string& name, const std::string& content) {
  const auto path = temporary_path(name);
  write_bytes(path, {content.begin(), content.end()});
  return error_of([&] { Slide::open(path); });
}

std::string refusal_of(const std::string& name, const std::vector<TinyImage>& images) {
  const auto path = temporary_path(name);
  write_tiny_tiff(path, images);
  return error_of([&] { Slide::open(path); });
}

void expect_says(const std::string& error, const char* name, const char* remedy) {
  EXPECT_NE(error.find(name), std::string::npos) << error;
  EXPECT_NE(error.find(remedy), std::string::npos) << error;
}

using namespace std::string_literals;

TEST(ForeignFileTest, FormatsThatAreNoTiffAreNamed) {
  std::string dicom(128, '\0');
  dicom.append("DICM").append(50, 'x');
  expect_says(refusal_of("a.dcm", dicom), "DICOM", "vips tiffsave");
  expect_says(refusal_of("a.mrxs", "\xFF\xD8\xFF\xE0 a picture"), "MIRAX", "vips tiffsave");
  expect_says(refusal_of("a.MRXS", "anything"), "MIRAX", "vips tiffsave");
  expect_says(refusal_of("a.vms", "[Virtual Microscope Specimen]\nNoLayers=1\n"), "Hamamatsu VMS",
              "vips tiffsave");
  expect_says(refusal_of("a.czi", "ZISRAWFILE\0more"s), "Zeiss CZI", "bfconvert");
  expect_says(refusal_of("a.xml", "<DataObject ObjectType=\"DPUfsImport\">"), "iSyntax", "isyntax2raw");
  expect_says(refusal_of("a.svslide", "SQLite format 3\0more"s), "SQLite", "vips tiffsave");
  expect_says(refusal_of("a.svs", "<!DOCTYPE html><html>403</html>"), "web page", "download");
  expect_says(refusal_of("b.svs", "version https://git-lfs.github.com/spec/v1\n"), "Git LFS", "git lfs pull");
  expect_says(refusal_of("a.jpg", "\xFF\xD8\xFF\xE0 a picture"), "JPEG picture", "tile it first");
  expect_says(refusal_of("a.tif.gz", "\x1F\x8B\x08 more"), "gzip", "unpack");
  expect_says(refusal_of("zeros.tif", std::string(5000, '\0')), "zeros", "download");
  expect_says(refusal_of("empty.tif", ""), "is empty", "download");
  expect_says(refusal_of("noise.tif", "\x01\x02\x03 noise"), "neither a TIFF", "known are");
}

TEST(ForeignFileTest, SlidesOfOtherScannersInATiffAreNamed) {
  TinyImage image;
  image.description = R"(<scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01">)";
  expect_says(refusal_of("leica", {image}), "Leica SCN", "vips tiffsave");
  image = {};
  image.xmp = R"(<iScan Magnification="40"/>)";
  expect_says(refusal_of("ventana", {image}), "Ventana BIF", "vips tiffsave");
  image = {};
  image.software = "MedScan 1.0";
  expect_says(refusal_of("trestle", {image}), "Trestle", "vips tiffsave");
  // NDPI is told before libtiff looks at its strips of 4 GB.
  image = {};
  image.tile = 0;
  const auto path = temporary_path("ndpi");
  write_tiny_tiff(path, {image}, "wl");
  std::vector<uint8_t> bytes = file_bytes(path);
  const std::vector<uint8_t> planar{0x1C, 0x01, 3, 0, 1,
                                    0,    0,    0, 1, 0};  // the last tag: PlanarConfiguration, 284
  const auto found = std::search(bytes.begin(), bytes.end(), planar.begin(), planar.end());
  ASSERT_NE(found, bytes.end());
  found[0] = 65420 & 0xFF;
  found[1] = 65420 >> 8;
  write_bytes(path, bytes);
  expect_says(error_of([&] { Slide::open(path); }), "Hamamatsu NDPI", "vips tiffsave");
}

TEST(ForeignFileTest, ImagesInStripsSayWhatTheyAreAndHowToTileThem) {
  TinyImage image;
  image.tile = 0;
  expect_says(refusal_of("strips", {image}), "not tiled", "vips tiffsave");
  image.description = R"(<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"></OME>)";
  expect_says(refusal_of("ome", {image}), "OME-TIFF", "not tiled");
  image.description = "<PerkinElmer-QPI-ImageDescription>";
  expect_says(refusal_of("qptiff", {image}), "PerkinElmer QPTIFF", "not tiled");
}

TinyImage grey_plane(int plane) {
  TinyImage image;
  image.samples = 1;
  image.photometric = 1;
  image.pixel = gradient(plane);
  return image;
}

TEST(ForeignFileTest, ChannelsOfFluorescenceAreNoBrightfieldSlide) {
  expect_says(refusal_of("planes", {grey_plane(0), grey_plane(1), grey_plane(2)}), "3 grey images",
              "fluorescence");
  TinyImage one = grey_plane(0);
  one.software = "PerkinElmer-QPI";
  expect_says(refusal_of("qptiff", {one}), "PerkinElmer QPTIFF", "fluorescence");
  one = grey_plane(0);
  one.description =
      R"(<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image><Pixels SizeC="4"/></Image></OME>)";
  expect_says(refusal_of("ome", {one}), "4 channels", "brightfield");
  // One grey image is a slide.
  const auto path = temporary_path("grey");
  write_tiny_tiff(path, {grey_plane(0)});
  EXPECT_EQ(Slide::open(path)->level_count(), 1);
}

TEST(ForeignFileTest, FocalPlanesAreLeftOutWithANote) {
  const auto path = temporary_path("planes");
  TinyImage second;
  second.pixel = gradient(1);
  write_tiny_tiff(path, {TinyImage{}, second, second});
  const auto slide = Slide::open(path);
  EXPECT_EQ(slide->level_count(), 1);
  ASSERT_EQ(slide->notes().size(), 1U);
  EXPECT_NE(slide->notes()[0].find("2 further images"), std::string::npos) << slide->notes()[0];
}

}  // namespace
}  // namespace mt::wsi
