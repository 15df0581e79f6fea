#include "tests/wsi/tiny_tiff.h"

#include <gtest/gtest.h>
#include <tiffio.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "tensor/check.h"

namespace mt::wsi::testing {
namespace {

void set_tags(TIFF* tiff, const TinyImage& image) {
  TIFFSetField(tiff, TIFFTAG_IMAGEWIDTH, static_cast<uint32_t>(image.width));
  TIFFSetField(tiff, TIFFTAG_IMAGELENGTH, static_cast<uint32_t>(image.height));
  TIFFSetField(tiff, TIFFTAG_BITSPERSAMPLE, 8);
  TIFFSetField(tiff, TIFFTAG_SAMPLESPERPIXEL, image.samples);
  TIFFSetField(tiff, TIFFTAG_PLANARCONFIG,
               image.separate_planes ? PLANARCONFIG_SEPARATE : PLANARCONFIG_CONTIG);
  if (image.orientation != 1) TIFFSetField(tiff, TIFFTAG_ORIENTATION, image.orientation);
  if (image.sample_format != 1) TIFFSetField(tiff, TIFFTAG_SAMPLEFORMAT, image.sample_format);
  if (image.extra_sample != 0) TIFFSetField(tiff, TIFFTAG_EXTRASAMPLES, 1, &image.extra_sample);
  if (!image.xmp.empty())
    TIFFSetField(tiff, TIFFTAG_XMLPACKET, static_cast<uint32_t>(image.xmp.size()), image.xmp.data());
  TIFFSetField(tiff, TIFFTAG_COMPRESSION, image.compression);
  TIFFSetField(tiff, TIFFTAG_PHOTOMETRIC, image.photometric);
  TIFFSetField(tiff, TIFFTAG_SUBFILETYPE, image.subfile_type);
  if (image.predictor != 1) TIFFSetField(tiff, TIFFTAG_PREDICTOR, image.predictor);
  if (image.compression == COMPRESSION_JPEG) TIFFSetField(tiff, TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
  if (!image.description.empty()) TIFFSetField(tiff, TIFFTAG_IMAGEDESCRIPTION, image.description.c_str());
  if (!image.software.empty()) TIFFSetField(tiff, TIFFTAG_SOFTWARE, image.software.c_str());
  if (image.x_resolution > 0) {
    TIFFSetField(tiff, TIFFTAG_XRESOLUTION, static_cast<double>(image.x_resolution));
    TIFFSetField(tiff, TIFFTAG_YRESOLUTION, static_cast<double>(image.y_resolution));
    // libtiff writes no unit that it does not know; write_tiny_tiff puts it in afterwards.
    TIFFSetField(tiff, TIFFTAG_RESOLUTIONUNIT, std::min<uint16_t>(image.resolution_unit, RESUNIT_CENTIMETER));
  }
  if (image.tile > 0) {
    TIFFSetField(tiff, TIFFTAG_TILEWIDTH, image.tile);
    TIFFSetField(tiff, TIFFTAG_TILELENGTH, image.tile);
  } else {
    TIFFSetField(tiff, TIFFTAG_ROWSPERSTRIP, 16);
  }
  if (image.sub_images > 0) {
    const std::vector<uint64_t> places(static_cast<std::size_t>(image.sub_images), 0);
    TIFFSetField(tiff, TIFFTAG_SUBIFD, image.sub_images, places.data());
  }
}

/// All samples of a chunk, or those of one plane.
std::vector<uint8_t> chunk_samples(const TinyImage& image, int64_t x0, int64_t y0, int64_t width,
                                   int64_t height, int plane) {
  std::vector<uint8_t> samples;
  for (int64_t y = y0; y < y0 + height; ++y) {
    for (int64_t x = x0; x < x0 + width; ++x) {
      const Colour colour = image.pixel(x, y);
      const uint8_t fourth = image.alpha ? image.alpha(x, y) : uint8_t{255};
      for (int s = 0; s < image.samples; ++s) {
        if (plane < 0 || s == plane) samples.push_back(s < 3 ? colour[static_cast<std::size_t>(s)] : fourth);
      }
    }
  }
  return samples;
}

void write_plane(TIFF* tiff, const TinyImage& image, int plane) {
  const int64_t width = image.tile > 0 ? image.tile : image.width, height = image.tile > 0 ? image.tile : 16;
  const int64_t across = (image.width + width - 1) / width, down = (image.height + height - 1) / height;
  for (int64_t index = 0; index < across * down; ++index) {
    if (image.missing_tiles.contains(index) || (image.only_tile >= 0 && index != image.only_tile)) continue;
    const int64_t x = index % across * width, y = index / across * height;
    const int64_t rows = image.tile > 0 ? height : std::min(height, image.height - y);
    std::vector<uint8_t> samples = chunk_samples(image, x, y, width, rows, plane);
    const auto size = static_cast<tmsize_t>(samples.size());
    const auto chunk = static_cast<uint32_t>(std::max(plane, 0) * across * down + index);
    if (!image.coded_tile.empty()) {
      std::vector<uint8_t> coded = image.coded_tile;
      check(TIFFWriteRawTile(tiff, chunk, coded.data(), static_cast<tmsize_t>(coded.size())) >= 0,
            "test TIFF: tile {} was not written", index);
      continue;
    }
    const tmsize_t written = image.tile > 0 ? TIFFWriteEncodedTile(tiff, chunk, samples.data(), size)
                                            : TIFFWriteEncodedStrip(tiff, chunk, samples.data(), size);
    check(written >= 0, "test TIFF: chunk {} was not written", index);
  }
}

void write_image(TIFF* tiff, const TinyImage& image) {
  set_tags(tiff, image);
  if (image.separate_planes) {
    for (int plane = 0; plane < image.samples; ++plane) write_plane(tiff, image, plane);
  } else {
    write_plane(tiff, image, -1);
  }
  check(TIFFWriteDirectory(tiff) == 1, "test TIFF: directory was not written");
}

/// The value of ResolutionUnit (296, SHORT), where libtiff wrote a centimetre, in a file of native byte
/// order.
void put_resolution_unit(const std::filesystem::path& path, uint16_t unit) {
  std::vector<uint8_t> bytes = file_bytes(path);
  const std::vector<uint8_t> entry{0x28, 0x01, 3, 0, 1, 0, 0, 0, RESUNIT_CENTIMETER, 0};
  const auto found = std::search(bytes.begin(), bytes.end(), entry.begin(), entry.end());
  check(found != bytes.end(), "test TIFF: no ResolutionUnit");
  found[8] = static_cast<uint8_t>(unit);
  write_bytes(path, bytes);
}

}  // namespace

PixelFunction gradient(int plane) {
  return [plane](int64_t x, int64_t y) {
    return Colour{static_cast<uint8_t>(x), static_cast<uint8_t>(y),
                  static_cast<uint8_t>(16 * plane + (x >> 8) + (y >> 8))};
  };
}

void write_tiny_tiff(const std::filesystem::path& path, const std::vector<TinyImage>& images,
                     const char* mode) {
  TIFFSetWarningHandler(nullptr);  // old compressions are written on purpose
  TIFF* tiff = TIFFOpen(path.c_str(), mode);
  check(tiff != nullptr, "test TIFF: {} cannot be created", path.string());
  for (const TinyImage& image : images) write_image(tiff, image);
  TIFFClose(tiff);
  for (const TinyImage& image : images) {
    if (image.x_resolution > 0 && image.resolution_unit > RESUNIT_CENTIMETER)
      put_resolution_unit(path, image.resolution_unit);
  }
}

std::filesystem::path temporary_path(const std::string& name) {
  const ::testing::TestInfo* test = ::testing::UnitTest::GetInstance()->current_test_info();
  return std::filesystem::path(::testing::TempDir()) /
         fmt::format("mt_{}_{}_{}_{}", ::getpid(), test->test_suite_name(), test->name(), name);
}

std::vector<uint8_t> file_bytes(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

void write_bytes(const std::filesystem::path& path, const std::vector<uint8_t>& bytes) {
  std::ofstream stream(path, std::ios::binary | std::ios::trunc);
  stream.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

RgbImage expected_region(const PixelFunction& pixel, int64_t width, int64_t height, int64_t x, int64_t y,
                         int64_t region_width, int64_t region_height) {
  RgbImage image(region_width, region_height, 255);
  for (int64_t j = 0; j < region_height; ++j) {
    for (int64_t i = 0; i < region_width; ++i) {
      if (x + i < 0 || y + j < 0 || x + i >= width || y + j >= height) continue;
      const Colour colour = pixel(x + i, y + j);
      std::copy(colour.begin(), colour.end(), image.at(i, j));
    }
  }
  return image;
}

std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    const std::string text = error.what();
    EXPECT_EQ(text.find('\n'), std::string::npos) << text;
    EXPECT_FALSE(text.empty());
    return text;
  }
  ADD_FAILURE() << "no Error was thrown";
  return {};
}

std::filesystem::path real_slides_folder() {
  const char* folder = std::getenv("MICROTOME_TEST_SLIDES");
  return folder == nullptr ? std::filesystem::path() : std::filesystem::path(folder);
}

}  // namespace mt::wsi::testing
