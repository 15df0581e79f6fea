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
  kTiffJpeg2000 = 34712,
  kTiffAperioJpeg2000YCbCr = 33003,
  kTiffAperioJpeg2000Rgb = 33005
};
enum TiffPhotometricTag : uint16_t { kTiffMinIsWhite = 0, kTiffMinIsBlack = 1, kTiffRgb = 2, kTiffYCbCr = 6 };
enum class TiffAlpha { none, associated, unassociated };  // associated: the colours are multiplied by it
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
  uint16_t sample_format = 1;  // 1 unsigned, 2 signed, 3 floating point
  uint16_t orientation = 1;    // 1: row 0 is the top, column 0 the left
  TiffAlpha alpha = TiffAlpha::none;
  uint32_t subfile_type = 0;
  uint64_t resolution_unit = 2;               // 1 none, 2 inch, 3 cm; beyond TIFF 6.0: 4 mm, 5 um
  double x_resolution = 0, y_resolution = 0;  // pixels per unit; 0 when not said
  std::string description, software, make, model, date_time, xmp;
  std::vector<uint8_t> jpeg_tables;
  std::vector<uint64_t> offsets;      // (planes, chunks) row by row; one plane unless separate_planes()
  std::vector<uint64_t> byte_counts;  // (planes, chunks); 0 where a chunk is missing

  bool separate_planes() const { return planar_configuration == 2 && samples > 1; }
  int64_t planes() const { return separate_planes() ? samples : 1; }
  int64_t chunks() const { return chunks_across() * chunks_down(); }
  int64_t chunks_across() const { return (width + chunk_width - 1) / chunk_width; }
  int64_t chunks_down() const { return (height + chunk_height - 1) / chunk_height; }
};

/// A TIFF or BigTIFF of either byte order. Throws Error with one line (naming the file and what libtiff
/// found) when the first image cannot be read, the chain of images loops, the file is cut off, or its
/// directories refer to more than it holds. A later image that cannot be read is left out, with a note.
class TiffFile {
 public:
  explicit TiffFile(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  const RandomAccessFile& bytes() const { return bytes_; }
  /// The chain of the file in order, then the SubIFDs.
  const std::vector<TiffDirectory>& directories() const { return directories_; }
  const TiffDirectory& first() const { return directories_.front(); }
  /// What was left out and why, one line each.
  const std::vector<std::string>& notes() const { return notes_; }

 private:
  std::filesystem::path path_;
  RandomAccessFile bytes_;
  std::vector<TiffDirectory> directories_;
  std::vector<std::string> notes_;
};

}  // namespace mt::wsi
