#include "wsi/codecs/codec.h"

#include "tensor/check.h"

namespace mt::wsi {
namespace {

std::string compression_name(uint16_t compression) {
  switch (compression) {
    case 2:
    case 3:
    case 4:
      return "CCITT fax";
    case 6:
      return "old-style JPEG";
    case kTiffAperioJpeg2000YCbCr:
      return "Aperio JPEG 2000, YCbCr";
    case kTiffAperioJpeg2000Rgb:
      return "Aperio JPEG 2000, RGB";
    case 34712:
      return "JPEG 2000";
    case 34925:
      return "LZMA";
    case 50000:
      return "Zstandard";
    case 50001:
      return "WebP";
    default:
      return "unknown";
  }
}

bool is_known(uint16_t compression) {
  return compression == kTiffUncompressed || compression == kTiffLzw || compression == kTiffJpeg ||
         compression == kTiffDeflate || compression == kTiffOldDeflate;
}

/// (pixels, channels) → (pixels, 3): grey is repeated, channels behind the third are left out.
void to_rgb(std::span<const uint8_t> samples, int64_t channels, bool inverted, std::span<uint8_t> out) {
  const std::size_t pixels = out.size() / 3, stride = static_cast<std::size_t>(channels);
  const std::size_t green = channels >= 3 ? 1 : 0, blue = channels >= 3 ? 2 : 0;
  const uint8_t flip = inverted ? 0xFF : 0x00;
  for (std::size_t i = 0; i < pixels; ++i) {
    const uint8_t* in = samples.data() + i * stride;
    out[i * 3] = in[0] ^ flip;
    out[i * 3 + 1] = in[green] ^ flip;
    out[i * 3 + 2] = in[blue] ^ flip;
  }
}

void decompress(uint16_t compression, std::span<const uint8_t> data, std::span<uint8_t> out) {
  switch (compression) {
    case kTiffLzw:
      return decode_lzw(data, out);
    case kTiffDeflate:
    case kTiffOldDeflate:
      return decode_deflate(data, out);
    default:
      return decode_raw(data, out);
  }
}

JpegColour jpeg_colour(const TiffDirectory& directory) {
  if (directory.photometric == kTiffYCbCr) return JpegColour::ycbcr;
  return directory.samples == 1 ? JpegColour::grey : JpegColour::rgb;
}

}  // namespace

void check_decodable(const TiffDirectory& directory) {
  check(
      is_known(directory.compression),
      "TIFF compression {} ({}) is not supported; supported are JPEG (7), LZW (5), deflate (8) and none (1)",
      directory.compression, compression_name(directory.compression));
  check(directory.bits == 8, "{} bits a sample are not supported, only 8", directory.bits);
  check(directory.planar_configuration == 1 || directory.samples == 1,
        "separate colour planes are not supported, only interleaved ones");
  check(directory.samples == 1 || directory.samples == 3 || directory.samples == 4,
        "{} samples a pixel are not supported, only 1, 3 and 4", directory.samples);
  check(directory.fill_order == 1, "bits in reversed order (FillOrder {}) are not supported",
        directory.fill_order);
  check(directory.predictor == 1 || directory.predictor == 2,
        "TIFF predictor {} is not supported, only 1 and 2", directory.predictor);
  const bool grey = directory.samples == 1 && directory.photometric <= kTiffMinIsBlack;
  const bool rgb = directory.samples >= 3 && directory.photometric == kTiffRgb;
  const bool ycbcr =
      directory.samples == 3 && directory.photometric == kTiffYCbCr && directory.compression == kTiffJpeg;
  check(grey || rgb || ycbcr, "photometric interpretation {} with {} samples a pixel is not supported",
        directory.photometric, directory.samples);
  check(directory.compression != kTiffJpeg || directory.samples != 4,
        "JPEG with 4 samples a pixel is not supported");
}

void decode_chunk(const TiffDirectory& directory, std::span<const uint8_t> data, int64_t height,
                  std::span<uint8_t> out) {
  if (directory.compression == kTiffJpeg) {
    return decode_jpeg(directory.jpeg_tables, data, jpeg_colour(directory), directory.chunk_width, height,
                       out);
  }
  const bool already_rgb = directory.samples == 3;
  std::vector<uint8_t> other(already_rgb ? 0 : out.size() / 3 * directory.samples);
  const std::span<uint8_t> samples = already_rgb ? out : std::span<uint8_t>(other);
  decompress(directory.compression, data, samples);
  if (directory.predictor == 2)
    undo_horizontal_differences(samples, directory.chunk_width, directory.samples);
  if (!already_rgb) to_rgb(samples, directory.samples, directory.photometric == kTiffMinIsWhite, out);
}

}  // namespace mt::wsi
