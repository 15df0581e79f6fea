#pragma once
// Tiny slides for tests, written through libtiff: what our own readers must make of what another program
// wrote.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "wsi/slide.h"

namespace mt::wsi::testing {

using PixelFunction = std::function<Colour(int64_t x, int64_t y)>;

/// Every place of the first 256 x 256 has its own colour, and every `plane` another blue.
PixelFunction gradient(int plane = 0);

struct TinyImage {
  int64_t width = 100, height = 80;
  int tile = 32;             // 0: strips of 16 rows
  uint16_t compression = 1;  // values of the TIFF tag
  uint16_t predictor = 1;
  uint16_t samples = 3;  // 1: the red of `pixel`
  uint16_t photometric = 2;
  uint32_t subfile_type = 0;
  uint16_t orientation = 1;
  uint16_t sample_format = 1;
  uint16_t extra_sample = 0;  // of the fourth sample: 1 associated, 2 unassociated alpha; 0: no tag
  bool separate_planes = false;
  std::string description, software, xmp;
  float x_resolution = 0, y_resolution = 0;  // 0: no tag
  uint16_t resolution_unit = 3;
  std::vector<uint8_t> coded_tile;  // the bytes of every tile, written as they are
  std::set<int64_t> missing_tiles;
  int64_t only_tile = -1;  // the one tile that is written; -1: all
  int sub_images = 0;      // so many of the images that follow are its SubIFDs
  PixelFunction pixel = gradient();
  std::function<uint8_t(int64_t x, int64_t y)> alpha;  // the fourth sample; empty: 255
};

/// `mode` as TIFFOpen has it: "w" native order, "wb" big-endian, "wl" little-endian, "8" for BigTIFF.
void write_tiny_tiff(const std::filesystem::path& path, const std::vector<TinyImage>& images,
                     const char* mode = "w");

/// A path that no other test uses, in the folder of temporary files.
std::filesystem::path temporary_path(const std::string& name);

std::vector<uint8_t> file_bytes(const std::filesystem::path& path);
void write_bytes(const std::filesystem::path& path, const std::vector<uint8_t>& bytes);

/// The picture that reading `pixel` over this rectangle must give; white outside [0, width) x [0, height).
RgbImage expected_region(const PixelFunction& pixel, int64_t width, int64_t height, int64_t x, int64_t y,
                         int64_t region_width, int64_t region_height);

/// The text of the Error that `action` throws; fails the test when it throws none, or one of several lines.
std::string error_of(const std::function<void()>& action);

/// The folder that MICROTOME_TEST_SLIDES names; empty when it is not set.
std::filesystem::path real_slides_folder();

}  // namespace mt::wsi::testing

// A macro because only the test's own body can be left.
#define MT_NEEDS_REAL_SLIDES()                                                     \
  if (mt::wsi::testing::real_slides_folder().empty()) {                            \
    GTEST_SKIP() << "MICROTOME_TEST_SLIDES does not name a folder of real slides"; \
  }
