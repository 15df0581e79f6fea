#pragma once
// Pictures for people: PNG files, and the bytes of PNG and JPEG files.

#include <string>

#include "wsi/image.h"

namespace mt::wsi {

/// The bytes of a PNG file (for reports that hold their pictures inside).
std::string encode_png(const RgbImage& image);
std::string encode_png(const RgbaImage& image);
/// The bytes of a baseline JPEG file; quality 1..100, chroma at half resolution up to 90.
std::string encode_jpeg(const RgbImage& image, int quality);

/// Writes `path` atomically: under a temporary name, synced, renamed.
void write_png(const std::string& path, const RgbImage& image);
void write_png(const std::string& path, const RgbaImage& image);

}  // namespace mt::wsi
