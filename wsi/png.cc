#include "wsi/png.h"

#include "tensor/check.h"
#include "tensor/io/atomic_file.h"

// The one place where stb_image_write is compiled; its own warnings are not ours.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#pragma GCC diagnostic ignored "-Wunused-function"
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#define STBI_WRITE_NO_STDIO
#include <stb/stb_image_write.h>
#pragma GCC diagnostic pop

namespace mt::wsi {
namespace {

void append(void* text, void* data, int bytes) {
  static_cast<std::string*>(text)->append(static_cast<const char*>(data), static_cast<std::size_t>(bytes));
}

std::string encode(int64_t width, int64_t height, int channels, const std::vector<uint8_t>& pixels) {
  // stb_image_write counts bytes in an int.
  check(width > 0 && height > 0 && width <= INT32_MAX / channels / height - 1,
        "write PNG: {}x{} pixels is too large", width, height);
  std::string png;
  const int done = stbi_write_png_to_func(append, &png, static_cast<int>(width), static_cast<int>(height),
                                          channels, pixels.data(), static_cast<int>(width) * channels);
  check(done != 0, "write PNG: no memory for {}x{} pixels", width, height);
  return png;
}

}  // namespace

std::string encode_png(const RgbImage& image) {
  return encode(image.width, image.height, 3, image.pixels);
}
std::string encode_png(const RgbaImage& image) {
  return encode(image.width, image.height, 4, image.pixels);
}

std::string encode_jpeg(const RgbImage& image, int quality) {
  check(image.width > 0 && image.height > 0 && image.width <= 65535 && image.height <= 65535,
        "write JPEG: {}x{} pixels; each side is 1 to 65535", image.width, image.height);
  std::string jpeg;
  const int done = stbi_write_jpg_to_func(append, &jpeg, static_cast<int>(image.width),
                                          static_cast<int>(image.height), 3, image.pixels.data(), quality);
  check(done != 0, "write JPEG: no memory for {}x{} pixels", image.width, image.height);
  return jpeg;
}

void write_png(const std::string& path, const RgbImage& image) {
  write_file(path, encode_png(image));
}
void write_png(const std::string& path, const RgbaImage& image) {
  write_file(path, encode_png(image));
}

}  // namespace mt::wsi
