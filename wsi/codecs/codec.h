#pragma once
// From the bytes of one tile or strip to RGB or RGBA pixels. Every function is pure: no state, any thread.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "wsi/image.h"
#include "wsi/tiff/directory.h"

namespace mt::wsi {

/// Throws Error, saying what is unsupported, when decode_chunk could never decode this image (compression,
/// bits, samples, orientation).
void check_decodable(const TiffDirectory& directory);

/// Throws Error when the beginning of a chunk shows that it is of a kind that is not supported (lossless or
/// arithmetic JPEG, 12 bits). Damage is left for decode_chunk to find.
void check_chunk_kind(const TiffDirectory& directory, std::span<const uint8_t> beginning);

/// Channels of a decoded pixel: 3 = RGB; 4 = RGB and alpha, the colours not multiplied by it.
inline int decoded_channels(const TiffDirectory& directory) {
  return directory.alpha == TiffAlpha::none ? 3 : 4;
}

/// Decodes one chunk into out, (height, chunk_width, decoded_channels); height is chunk_height, or less for
/// the last strip. `planes` has the chunk's bytes, of each of the planes that the image has. Throws Error on
/// corrupt bytes; `out` holds nothing useful then.
void decode_chunk(const TiffDirectory& directory, std::span<const std::vector<uint8_t>> planes,
                  int64_t height, std::span<uint8_t> out);

/// A JPEG file in memory, of at most max_pixels pixels.
RgbImage decode_jpeg_file(std::span<const uint8_t> data, int64_t max_pixels);

// The codecs themselves. `out` has exactly the size that the chunk must have; anything else is an Error.
enum class ColourModel { grey, rgb, ycbcr };
void decode_jpeg(std::span<const uint8_t> tables, std::span<const uint8_t> data, ColourModel colour,
                 int64_t width, int64_t height, std::span<uint8_t> out);  // out (H,W,3)
void check_jpeg_kind(std::span<const uint8_t> beginning);
/// A JPEG 2000 codestream, or a JP2 file around one. Components of lower resolution are repeated; YCbCr
/// becomes RGB by JFIF's equations.
void decode_jpeg2000(std::span<const uint8_t> data, ColourModel colour, int64_t width, int64_t height,
                     std::span<uint8_t> out);  // out (H,W,3)
void decode_deflate(std::span<const uint8_t> data, std::span<uint8_t> out);
void decode_lzw(std::span<const uint8_t> data, std::span<uint8_t> out);
void decode_raw(std::span<const uint8_t> data, std::span<uint8_t> out);

/// Undoes horizontal differencing (predictor 2) in place: samples (height, width, channels), 8 bits each.
void undo_horizontal_differences(std::span<uint8_t> samples, int64_t width, int64_t channels);

}  // namespace mt::wsi
