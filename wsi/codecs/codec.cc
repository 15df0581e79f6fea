#include "wsi/codecs/codec.h"

#include <algorithm>

#include "tensor/check.h"

namespace mt::wsi {
namespace {

/// A tile of JPEG 2000 takes twelve bytes a pixel while it is decoded.
constexpr int64_t kMostJpeg2000Pixels = int64_t{1} << 22;

std::string compression_name(uint16_t compression) {
  switch (compression) {
    case 2:
    case 3:
    case 4:
      return "CCITT fax";
    case 6:
      return "old-style JPEG";
    case 22610:
      return "JPEG XR";
    case 32773:
      return "PackBits";
    case 33007:
      return "JPEG 2000 of another scanner";
    case 34887:
      return "LERC";
    case 34925:
      return "LZMA";
    case 34933:
      return "PNG";
    case 34934:
      return "JPEG XR";
    case 50000:
      return "Zstandard";
    case 34927:
    case 50001:
      return "WebP";
    case 50002:
    case 52546:
      return "JPEG XL";
    default:
      return "unknown";
  }
}

bool is_jpeg2000(uint16_t compression) {
  return compression == kTiffAperioJpeg2000YCbCr || compression == kTiffAperioJpeg2000Rgb ||
         compression == kTiffJpeg2000;
}

bool is_known(uint16_t compression) {
  return compression == kTiffUncompressed || compression == kTiffLzw || compression == kTiffJpeg ||
         compression == kTiffDeflate || compression == kTiffOldDeflate || is_jpeg2000(compression);
}

/// JPEG and JPEG 2000 bring their own colour conversion.
bool codec_gives_rgb(uint16_t compression) {
  return compression == kTiffJpeg || is_jpeg2000(compression);
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

/// The colours as the TIFF says them; Aperio's compressions say more than its photometric interpretation.
ColourModel colour_model(const TiffDirectory& directory) {
  if (directory.compression == kTiffAperioJpeg2000YCbCr) return ColourModel::ycbcr;
  if (directory.compression == kTiffAperioJpeg2000Rgb) return ColourModel::rgb;
  if (directory.photometric == kTiffYCbCr) return ColourModel::ycbcr;
  return directory.samples == 1 ? ColourModel::grey : ColourModel::rgb;
}

/// All samples of a chunk but JPEG's, as the TIFF has them. // (H,W,samples)
std::vector<uint8_t> interleaved_samples(const TiffDirectory& directory,
                                         std::span<const std::vector<uint8_t>> planes, std::size_t pixels) {
  const auto samples = static_cast<std::size_t>(directory.samples);
  const std::size_t channels = samples / planes.size();  // of one plane
  std::vector<uint8_t> all(pixels * samples), plane(planes.size() == 1 ? 0 : pixels);
  for (std::size_t p = 0; p < planes.size(); ++p) {
    const std::span<uint8_t> target = planes.size() == 1 ? std::span(all) : std::span(plane);
    decompress(directory.compression, planes[p], target);
    if (directory.predictor == 2)
      undo_horizontal_differences(target, directory.chunk_width, static_cast<int64_t>(channels));
    for (std::size_t i = 0; i < plane.size(); ++i) all[i * samples + p] = plane[i];
  }
  return all;
}

/// (pixels, samples) → (pixels, 3 or 4): grey is repeated, a last sample without a meaning is left out, and
/// colours that were multiplied by alpha are divided by it.
void to_rgb(std::span<const uint8_t> samples, const TiffDirectory& directory, std::span<uint8_t> out) {
  const std::size_t channels = static_cast<std::size_t>(decoded_channels(directory)),
                    stride = directory.samples;
  const std::size_t pixels = out.size() / channels;
  const bool colour = directory.samples >= 3;
  const uint8_t flip = directory.photometric == kTiffMinIsWhite ? 0xFF : 0x00;
  for (std::size_t i = 0; i < pixels; ++i) {
    const uint8_t* in = samples.data() + i * stride;
    uint8_t* to = out.data() + i * channels;
    for (std::size_t c = 0; c < 3; ++c) to[c] = in[colour ? c : 0] ^ flip;
    if (channels == 3) continue;
    const int alpha = to[3] = in[colour ? 3 : 1];
    if (directory.alpha == TiffAlpha::unassociated || alpha == 0) continue;
    for (std::size_t c = 0; c < 3; ++c)
      to[c] = static_cast<uint8_t>(std::min(255, (to[c] * 255 + alpha / 2) / alpha));
  }
}

}  // namespace

void check_decodable(const TiffDirectory& directory) {
  check(is_known(directory.compression),
        "TIFF compression {} ({}) is not supported; supported are JPEG (7), JPEG 2000 (33003, 33005, 34712), "
        "LZW (5), deflate (8) and none (1)",
        directory.compression, compression_name(directory.compression));
  check(directory.bits == 8, "{} bits a sample are not supported, only 8", directory.bits);
  check(directory.sample_format == 1 || directory.sample_format == 4,
        "{} samples are not supported, only unsigned ones",
        directory.sample_format == 2 ? "signed" : "floating-point or complex");
  check(directory.samples >= 1 && directory.samples <= 4 &&
            (directory.samples != 2 || directory.alpha != TiffAlpha::none),
        "{} samples a pixel are not supported, only grey and RGB, each with or without alpha",
        directory.samples);
  check(directory.fill_order == 1, "bits in reversed order (FillOrder {}) are not supported",
        directory.fill_order);
  check(directory.orientation == 1,
        "its picture is stored mirrored or turned (Orientation {}), which is not supported",
        directory.orientation);
  check(directory.predictor == 1 || directory.predictor == 2,
        "TIFF predictor {} is not supported, only 1 and 2", directory.predictor);
  const bool own_colours = codec_gives_rgb(directory.compression);
  const bool grey = directory.samples <= 2 && directory.photometric <= kTiffMinIsBlack;
  const bool rgb = directory.samples >= 3 && directory.photometric == kTiffRgb;
  const bool ycbcr = directory.samples == 3 && directory.photometric == kTiffYCbCr && own_colours;
  check(grey || rgb || ycbcr, "photometric interpretation {} with {} samples a pixel is not supported",
        directory.photometric, directory.samples);
  if (!own_colours) return;
  check(directory.samples == 1 || directory.samples == 3, "JPEG with {} samples a pixel is not supported",
        directory.samples);
  check(!directory.separate_planes(), "JPEG in separate colour planes is not supported");
  check(directory.photometric != kTiffMinIsWhite, "JPEG whose white is 0 is not supported");
  check(!is_jpeg2000(directory.compression) ||
            directory.chunk_width * directory.chunk_height <= kMostJpeg2000Pixels,
        "JPEG 2000 tiles of {}x{} pixels; at most {} pixels are allowed", directory.chunk_width,
        directory.chunk_height, kMostJpeg2000Pixels);
}

void check_chunk_kind(const TiffDirectory& directory, std::span<const uint8_t> beginning) {
  if (directory.compression == kTiffJpeg) check_jpeg_kind(beginning);
}

void decode_chunk(const TiffDirectory& directory, std::span<const std::vector<uint8_t>> planes,
                  int64_t height, std::span<uint8_t> out) {
  check(static_cast<int64_t>(planes.size()) == directory.planes(), "{} planes where {} are needed",
        planes.size(), directory.planes());
  if (directory.compression == kTiffJpeg) {
    return decode_jpeg(directory.jpeg_tables, planes[0], colour_model(directory), directory.chunk_width,
                       height, out);
  }
  if (is_jpeg2000(directory.compression)) {
    return decode_jpeg2000(planes[0], colour_model(directory), directory.chunk_width, height, out);
  }
  if (directory.samples == 3 && planes.size() == 1) {
    decompress(directory.compression, planes[0], out);
    if (directory.predictor == 2) undo_horizontal_differences(out, directory.chunk_width, 3);
    return;
  }
  const auto pixels = static_cast<std::size_t>(directory.chunk_width * height);
  to_rgb(interleaved_samples(directory, planes, pixels), directory, out);
}

}  // namespace mt::wsi
