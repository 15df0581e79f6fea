#pragma once
// From the bytes of one tile or strip to RGB pixels. Every function is pure: no state, any thread.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "wsi/image.h"
#include "wsi/tiff/directory.h"

namespace mt::wsi {

/// Throws Error, saying what is unsupported, when decode_chunk could never decode this image (compression,
/// bits, planes).
void check_decodable(const TiffDirectory& directory);

/// Decodes one chunk into out, (height, chunk_width, 3); height is chunk_height, or less for the last strip.
/// Throws Error on corrupt bytes. `out` holds nothing useful then.
void decode_chunk(const TiffDirectory& directory, std::span<const uint8_t> data, int64_t height,
                  std::span<uint8_t> out);

/// A JPEG file in memory, of at most max_pixels pixels.
RgbImage decode_jpeg_file(std::span<const uint8_t> data, int64_t max_pixels);

// The codecs themselves. `out` has exactly the size that the chunk must have; anything else is an Error.
enum class JpegColour { grey, rgb, ycbcr };
void decode_jpeg(std::span<const uint8_t> tables, std::span<const uint8_t> data, JpegColour colour,
                 int64_t width, int64_t height, std::span<uint8_t> out);  // out (H,W,3)
void decode_deflate(std::span<const uint8_t> data, std::span<uint8_t> out);
void decode_lzw(std::span<const uint8_t> data, std::span<uint8_t> out);
void decode_raw(std::span<const uint8_t> data, std::span<uint8_t> out);

/// Undoes horizontal differencing (predictor 2) in place: samples (height, width, channels), 8 bits each.
void undo_horizontal_differences(std::span<uint8_t> samples, int64_t width, int64_t channels);

}  // namespace mt::wsi
