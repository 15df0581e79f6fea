#include "wsi/tiff/writer.h"

#include <tiffio.h>

#include <algorithm>
#include <array>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "tensor/check.h"
#include "tensor/io/atomic_file.h"
#include "wsi/tiff/descriptions.h"

namespace mt::wsi {
namespace {

constexpr uint8_t kGlass = 225;
constexpr uint32_t kReduced = FILETYPE_REDUCEDIMAGE;
constexpr uint32_t kAperioMacro = 9;

/// One TIFF file being written; errors of libtiff become an Error with the file's name.
class TiffOutput {
 public:
  /// Writes to the file called `name`; errors speak of `path`.
  TiffOutput(const std::string& name, const std::filesystem::path& path, bool big) : path_(path) {
    const std::unique_ptr<TIFFOpenOptions, FreeOptions> settings(TIFFOpenOptionsAlloc());
    TIFFOpenOptionsSetErrorHandlerExtR(settings.get(), &TiffOutput::keep_message, &message_);
    file_.reset(TIFFOpenExt(name.c_str(), big ? "w8" : "w", settings.get()));
    check(file_ != nullptr, "{}: cannot be created; is the folder there and writable?", path.string());
  }

  template <typename... Values>
  void set(uint32_t tag, Values... values) {
    require(TIFFSetField(file_.get(), tag, values...) == 1);
  }
  void require(bool ok) const {
    check(ok, "{}: writing failed ({}); is the disk full?", path_.string(), message_);
  }
  void end_directory() { require(TIFFWriteDirectory(file_.get()) == 1); }
  TIFF* get() { return file_.get(); }
  void close() { file_.reset(); }

 private:
  /// libtiff's messages go into our Error instead of onto stderr.
  static int keep_message(TIFF*, void* message, const char*, const char* format, va_list arguments) {
    std::array<char, 256> text{};
    std::vsnprintf(text.data(), text.size(), format, arguments);
    *static_cast<std::string*>(message) = text.data();
    return 1;
  }

  struct FreeOptions {
    void operator()(TIFFOpenOptions* options) const { TIFFOpenOptionsFree(options); }
  };
  struct Close {
    void operator()(TIFF* file) const { TIFFClose(file); }
  };
  std::filesystem::path path_;
  std::string message_ = "no reason given";
  std::unique_ptr<TIFF, Close> file_;
};

void set_picture(TiffOutput& file, int64_t width, int64_t height, TiffCompression compression,
                 const TiffWriteOptions& options) {
  file.set(TIFFTAG_IMAGEWIDTH, static_cast<uint32_t>(width));
  file.set(TIFFTAG_IMAGELENGTH, static_cast<uint32_t>(height));
  file.set(TIFFTAG_BITSPERSAMPLE, 8);
  file.set(TIFFTAG_SAMPLESPERPIXEL, 3);
  file.set(TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG);
  file.set(TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_RGB);
  switch (compression) {
    case TiffCompression::none:
      file.set(TIFFTAG_COMPRESSION, COMPRESSION_NONE);
      break;
    case TiffCompression::lzw:
      file.set(TIFFTAG_COMPRESSION, COMPRESSION_LZW);
      break;
    case TiffCompression::deflate:
      file.set(TIFFTAG_COMPRESSION, COMPRESSION_ADOBE_DEFLATE);
      break;
    case TiffCompression::jpeg:
      file.set(TIFFTAG_COMPRESSION, COMPRESSION_JPEG);
      file.set(TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_YCBCR);
      file.set(TIFFTAG_YCBCRSUBSAMPLING, options.jpeg_420 ? 2 : 1, options.jpeg_420 ? 2 : 1);
      file.set(TIFFTAG_JPEGQUALITY, options.jpeg_quality);
      file.set(TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
      break;
  }
  const bool predicts = compression == TiffCompression::lzw || compression == TiffCompression::deflate;
  if (predicts) file.set(TIFFTAG_PREDICTOR, PREDICTOR_HORIZONTAL);
}

/// Copies a tile; beyond the picture its last column and row are repeated, which compresses well and rings
/// least.
void copy_tile(const RgbImage& image, int64_t x0, int64_t y0, int64_t side, std::vector<uint8_t>& tile) {
  const int64_t inside = std::clamp<int64_t>(image.width - x0, 0, side);
  for (int64_t y = 0; y < side; ++y) {
    const int64_t from_y = std::min(y0 + y, image.height - 1);
    uint8_t* row = tile.data() + y * side * 3;
    if (inside > 0) std::memcpy(row, image.at(x0, from_y), static_cast<std::size_t>(inside * 3));
    for (int64_t x = inside; x < side; ++x) std::memcpy(row + x * 3, image.at(image.width - 1, from_y), 3);
  }
}

bool all_glass(const std::vector<uint8_t>& tile) {
  return std::all_of(tile.begin(), tile.end(), [](uint8_t sample) { return sample >= kGlass; });
}

void write_tiled(TiffOutput& file, const RgbImage& image, int64_t padded_width, int64_t padded_height,
                 const TiffWriteOptions& options) {
  const int64_t side = options.tile;
  set_picture(file, padded_width, padded_height, options.compression, options);
  file.set(TIFFTAG_TILEWIDTH, static_cast<uint32_t>(side));
  file.set(TIFFTAG_TILELENGTH, static_cast<uint32_t>(side));
  std::vector<uint8_t> tile(static_cast<std::size_t>(side * side * 3));
  uint32_t index = 0;
  bool written = false;
  const uint32_t last = TIFFNumberOfTiles(file.get()) - 1;
  for (int64_t y = 0; y < padded_height; y += side) {
    for (int64_t x = 0; x < padded_width; x += side, ++index) {
      copy_tile(image, x, y, side, tile);
      // libtiff writes no directory without data, so a slide of glass alone keeps its last tile.
      if (options.omit_glass && all_glass(tile) && (written || index != last)) continue;
      written = true;
      file.require(TIFFWriteEncodedTile(file.get(), index, tile.data(), static_cast<tmsize_t>(tile.size())) >=
                   0);
    }
  }
}

/// A picture beside the pyramid, in strips.
void write_associated(TiffOutput& file, const RgbImage& image, uint32_t subfile_type,
                      const std::string& description, const TiffWriteOptions& options) {
  file.set(TIFFTAG_SUBFILETYPE, subfile_type);
  set_picture(file, image.width, image.height, TiffCompression::jpeg, options);
  file.set(TIFFTAG_ROWSPERSTRIP, 16);
  file.set(TIFFTAG_IMAGEDESCRIPTION, description.c_str());
  for (int64_t y = 0; y < image.height; y += 16) {
    const int64_t rows = std::min<int64_t>(16, image.height - y);
    std::vector<uint8_t> strip(image.at(0, y), image.at(0, y) + rows * image.width * 3);
    file.require(TIFFWriteEncodedStrip(file.get(), static_cast<uint32_t>(y / 16), strip.data(),
                                       static_cast<tmsize_t>(strip.size())) >= 0);
  }
  file.end_directory();
}

int64_t rounded_up(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

std::string level_description(const TiffWriteOptions& options, const std::vector<LevelSize>& sizes,
                              int level) {
  switch (options.dialect) {
    case TiffDialect::philips:
      return level == 0 ? philips_description(options, static_cast<int>(sizes.size())) : "";
    case TiffDialect::aperio:
      return aperio_description(options, sizes, level);
    case TiffDialect::generic:
      return "";
  }
  return "";
}

void write_level(TiffOutput& file, const RgbImage& image, const std::vector<LevelSize>& sizes, int level,
                 const TiffWriteOptions& options) {
  const bool padded = options.dialect == TiffDialect::philips && level > 0;
  // Aperio marks its levels by their order and tiles alone.
  if (level > 0 && options.dialect != TiffDialect::aperio) file.set(TIFFTAG_SUBFILETYPE, kReduced);
  if (level == 0 && options.dialect == TiffDialect::philips) file.set(TIFFTAG_SOFTWARE, "Philips DP v1.0");
  if (level == 0 && options.dialect == TiffDialect::generic) file.set(TIFFTAG_SOFTWARE, "Microtome phantom");
  if (options.dialect == TiffDialect::generic && options.mpp) {
    const double per_centimetre = 1e4 / (*options.mpp * (1 << level));
    file.set(TIFFTAG_RESOLUTIONUNIT, RESUNIT_CENTIMETER);
    file.set(TIFFTAG_XRESOLUTION, per_centimetre);
    file.set(TIFFTAG_YRESOLUTION, per_centimetre);
  }
  const std::string description = level_description(options, sizes, level);
  if (!description.empty()) file.set(TIFFTAG_IMAGEDESCRIPTION, description.c_str());
  write_tiled(file, image, padded ? rounded_up(image.width, options.tile) : image.width,
              padded ? rounded_up(image.height, options.tile) : image.height, options);
  file.end_directory();
}

void write_all(TiffOutput& file, const std::vector<RgbImage>& reductions, const RgbImage& level0,
               const TiffWriteOptions& options) {
  std::vector<LevelSize> sizes = {{level0.width, level0.height}};
  for (const RgbImage& image : reductions) sizes.push_back({image.width, image.height});
  for (std::size_t level = 0; level < sizes.size(); ++level) {
    const RgbImage& image = level == 0 ? level0 : reductions[level - 1];
    write_level(file, image, sizes, static_cast<int>(level), options);
    if (level == 0 && options.dialect == TiffDialect::aperio) {
      const RgbImage& thumbnail = reductions.empty() ? level0 : reductions.back();
      write_associated(file, thumbnail, 0, "Aperio Image Library v11.2.1\nthumbnail", options);
    }
  }
  if (options.dialect == TiffDialect::generic) return;
  const bool aperio = options.dialect == TiffDialect::aperio;
  const std::string banner = aperio ? "Aperio Image Library v11.2.1\n" : "";
  const std::string label = aperio ? banner + "label 1x1" : "Label";
  const std::string macro = aperio ? banner + "macro 1x1" : "Macro";
  if (options.label) write_associated(file, *options.label, kReduced, label, options);
  if (options.macro) write_associated(file, *options.macro, aperio ? kAperioMacro : kReduced, macro, options);
}

}  // namespace

RgbImage halved(const RgbImage& image) {
  RgbImage half(std::max<int64_t>(1, image.width / 2), std::max<int64_t>(1, image.height / 2));
  const int64_t right = image.width > 1 ? 3 : 0;
  const int64_t down = image.height > 1 ? image.width * 3 : 0;
  for (int64_t y = 0; y < half.height; ++y) {
    for (int64_t x = 0; x < half.width; ++x) {
      const uint8_t* from = image.at(2 * x, 2 * y);
      uint8_t* to = half.at(x, y);
      for (int64_t c = 0; c < 3; ++c) {
        to[c] = static_cast<uint8_t>(
            (from[c] + from[c + right] + from[c + down] + from[c + right + down] + 2) / 4);
      }
    }
  }
  return half;
}

void write_tiff_pyramid(const std::filesystem::path& path, const RgbImage& level0,
                        const TiffWriteOptions& options) {
  check(level0.width > 0 && level0.height > 0, "{}: an empty picture cannot be written", path.string());
  check(options.tile > 0 && options.tile % 16 == 0, "{}: tile side {} is not a multiple of 16", path.string(),
        options.tile);
  check(options.levels >= 1 && options.levels <= 16, "{}: {} levels; 1 to 16 are possible", path.string(),
        options.levels);
  std::vector<RgbImage> reductions;
  for (int level = 1; level < options.levels; ++level) {
    reductions.push_back(halved(reductions.empty() ? level0 : reductions.back()));
  }
  AtomicFile atomic(path.string());
  TiffOutput file(atomic.temporary_path(), path, options.big_tiff);
  write_all(file, reductions, level0, options);
  file.close();
  atomic.commit();
}

}  // namespace mt::wsi
