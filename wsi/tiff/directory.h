#pragma once
// The directories (IFDs) of a TIFF file as plain data. libtiff parses them, once, when the file is opened;
// pixels are read elsewhere, so that libtiff's handle with its state is never shared between threads.

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "wsi/file.h"

namespace mt::wsi {

// Values of TIFF tags that the readers act on (TIFF 6.0; Adobe and Aperio extensions).
enum TiffCompressionTag : uint16_t {
  kTiffUncompressed = 1,
  kTiffLzw = 5,
  kTiffJpeg = 7,
  kTiffDeflate = 8,
  kTiffOldDeflate = 32946,
  kTiffAperioJpeg2000YCbCr = 33003,
  kTiffAperioJpeg2000Rgb = 33005
};
enum TiffPhotometricTag : uint16_t { kTiffMinIsWhite = 0, kTiffMinIsBlack = 1, kTiffRgb = 2, kTiffYCbCr = 6 };
enum TiffSubfileBits : uint32_t { kTiffReducedImage = 1, kTiffMask = 4 };

/// One image of the file. A stripped image has chunks of the full width and rows_per_strip rows.
struct TiffDirectory {
  int index = 0;  // place in the chain of the file; SubIFDs share their parent's
  bool is_subifd = false;
  bool tiled = false;
  int64_t width = 0, height = 0;
  int64_t chunk_width = 0, chunk_height = 0;  // of a tile or strip, in pixels
  uint16_t compression = kTiffUncompressed;
  uint16_t photometric = kTiffMinIsBlack;
  uint16_t samples = 1;
  uint16_t bits = 1;
  uint16_t planar_configuration = 1;
  uint16_t predictor = 1;
  uint16_t fill_order = 1;
  uint32_t subfile_type = 0;
  uint16_t resolution_unit = 2;               // 1 none, 2 inch, 3 centimetre
  double x_resolution = 0, y_resolution = 0;  // pixels per unit; 0 when not said
  std::string description, software, make, model, date_time, xmp;
  std::vector<uint8_t> jpeg_tables;
  std::vector<uint64_t> offsets;      // (chunks) row by row
  std::vector<uint64_t> byte_counts;  // (chunks); 0 where a chunk is missing

  int64_t chunks_across() const { return (width + chunk_width - 1) / chunk_width; }
  int64_t chunks_down() const { return (height + chunk_height - 1) / chunk_height; }
};

/// A TIFF or BigTIFF of either byte order. Throws Error with one line (naming the file and what libtiff
/// found) on anything broken: bad offsets, wrong types, loops, metadata larger than the file could hold.
class TiffFile {
 public:
  explicit TiffFile(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  const RandomAccessFile& bytes() const { return bytes_; }
  /// The chain of the file in order, then the SubIFDs.
  const std::vector<TiffDirectory>& directories() const { return directories_; }
  const TiffDirectory& first() const { return directories_.front(); }

 private:
  std::filesystem::path path_;
  RandomAccessFile bytes_;
  std::vector<TiffDirectory> directories_;
};

}  // namespace mt::wsi
