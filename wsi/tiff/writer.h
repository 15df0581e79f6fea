#pragma once
// Writes a picture as the pyramid that a scanner would have written: tiled TIFF in one of three dialects.

#include <filesystem>
#include <optional>
#include <string>

#include "wsi/image.h"

namespace mt::wsi {

enum class TiffDialect { philips, generic, aperio };
enum class TiffCompression { jpeg, deflate, lzw, none };

struct TiffWriteOptions {
  TiffDialect dialect = TiffDialect::philips;
  TiffCompression compression = TiffCompression::jpeg;
  int jpeg_quality = 80;
  bool jpeg_420 = true;             // chroma at half resolution; else 4:4:4
  int tile = 512;                   // side in pixels, a multiple of 16
  int levels = 4;                   // each half as large as the one before, by the mean of 2 x 2 pixels
  std::optional<double> mpp = 0.5;  // of level 0; nothing leaves the slide without a physical size
  double objective_power = 20;      // Aperio only
  bool omit_glass = false;  // leave out tiles of bare glass (every sample >= 225), as Philips scanners do
  bool big_tiff = true;
  std::optional<RgbImage> label;  // Philips and Aperio
  std::optional<RgbImage> macro;
};

/// Writes `level0` and its reductions to `path`, through a temporary file beside it: the file is complete or
/// not there. Philips: level sizes padded to whole tiles from level 1 on, sizes told by the XML's spacings.
/// Aperio: description with AppMag and MPP, a thumbnail after level 0. Errors name the file.
void write_tiff_pyramid(const std::filesystem::path& path, const RgbImage& level0,
                        const TiffWriteOptions& options);

/// Half the size (rounded down, at least 1): each sample is the mean of 2 x 2, halves rounded up; an odd last
/// row or column is dropped.
RgbImage halved(const RgbImage& image);

}  // namespace mt::wsi
