// Baseline and progressive JPEG through libjpeg-turbo. TIFF keeps the quantisation and Huffman tables of all
// tiles in one tag; a tile's own header says its size and subsampling, the TIFF says its colour space.

// jpeglib.h uses FILE and size_t without including them.
#include <cstddef>
#include <cstdio>

#include <jpeglib.h>

#include <jerror.h>

#include <csetjmp>

#include "tensor/check.h"
#include "wsi/codecs/codec.h"

namespace mt::wsi {
namespace {

/// libjpeg's error manager that jumps back instead of ending the process, and keeps the text instead of
/// printing it.
struct ErrorManager {
  jpeg_error_mgr base;
  std::jmp_buf jump;
  char text[JMSG_LENGTH_MAX];
};

void on_error(j_common_ptr info) {
  auto* manager = reinterpret_cast<ErrorManager*>(info->err);
  manager->base.format_message(info, manager->text);
  std::longjmp(manager->jump, 1);
}

/// Warnings about the data mean made-up pixels and count as errors, but for those that cost nothing.
void on_message(j_common_ptr info, int level) {
  if (level >= 0) return;
  const int code = info->err->msg_code;
  if (code == JWRN_EXTRANEOUS_DATA || code == JWRN_JPEG_EOF || code == JWRN_ADOBE_XFORM ||
      code == JWRN_JFIF_MAJOR)
    return;
  on_error(info);
}

void on_output(j_common_ptr) {}

struct Request {
  std::span<const uint8_t> tables, data;
  const ColourModel* colour;  // null: as the file says
  int64_t width, height;      // of `out`; 0 in a query of the size
  std::span<uint8_t> out;     // (H,W,3)
  bool may_be_taller;         // the last strip is often written at full height
};

J_COLOR_SPACE colour_space(ColourModel colour) {
  switch (colour) {
    case ColourModel::grey:
      return JCS_GRAYSCALE;
    case ColourModel::rgb:
      return JCS_RGB;
    default:
      return JCS_YCbCr;
  }
}

/// Nothing in here owns memory but libjpeg, because a jump back runs no destructors. False: manager.text says
/// why.
bool run(jpeg_decompress_struct& info, ErrorManager& manager, const Request& request, int64_t& width,
         int64_t& height) {
  if (setjmp(manager.jump) != 0) return false;
  jpeg_create_decompress(&info);
  if (!request.tables.empty()) {
    jpeg_mem_src(&info, request.tables.data(), static_cast<unsigned long>(request.tables.size()));
    if (jpeg_read_header(&info, FALSE) != JPEG_HEADER_TABLES_ONLY) {
      std::snprintf(manager.text, sizeof manager.text,
                    "the JPEGTables tag holds a picture instead of tables");
      return false;
    }
  }
  jpeg_mem_src(&info, request.data.data(), static_cast<unsigned long>(request.data.size()));
  jpeg_read_header(&info, TRUE);
  width = info.image_width;
  height = info.image_height;
  if (request.width == 0) return true;
  if (width != request.width ||
      (height != request.height && !(request.may_be_taller && height > request.height))) {
    std::snprintf(manager.text, sizeof manager.text, "its header says %ldx%ld where %ldx%ld are needed",
                  long{width}, long{height}, long{request.width}, long{request.height});
    return false;
  }
  if (request.colour != nullptr) {
    const int components = *request.colour == ColourModel::grey ? 1 : 3;
    if (info.num_components != components) {
      std::snprintf(manager.text, sizeof manager.text, "%d colour components where the TIFF says %d",
                    info.num_components, components);
      return false;
    }
    info.jpeg_color_space = colour_space(*request.colour);
  }
  info.out_color_space = JCS_RGB;
  jpeg_start_decompress(&info);
  while (info.output_scanline < static_cast<JDIMENSION>(request.height)) {
    JSAMPROW row = request.out.data() + static_cast<std::size_t>(info.output_scanline) * request.width * 3;
    jpeg_read_scanlines(&info, &row, 1);
  }
  return true;
}

/// Returns the size that the header says.
std::pair<int64_t, int64_t> decode(const Request& request) {
  ErrorManager manager{};
  jpeg_decompress_struct info{};
  info.err = jpeg_std_error(&manager.base);
  manager.base.error_exit = on_error;
  manager.base.emit_message = on_message;
  manager.base.output_message = on_output;
  int64_t width = 0, height = 0;
  const bool good = run(info, manager, request, width, height);
  jpeg_destroy_decompress(&info);
  check(good, "JPEG: {}", manager.text);
  return {width, height};
}

}  // namespace

void decode_jpeg(std::span<const uint8_t> tables, std::span<const uint8_t> data, ColourModel colour,
                 int64_t width, int64_t height, std::span<uint8_t> out) {
  decode({tables, data, &colour, width, height, out, true});
}

/// Walks over the markers to the frame header (ITU-T T.81, table B.1), as far as the bytes go.
void check_jpeg_kind(std::span<const uint8_t> data) {
  std::size_t at = 2;  // behind the start of the image
  while (at + 9 < data.size() && data[at] == 0xFF) {
    const uint8_t marker = data[at + 1];
    if (marker == 0xFF) {
      ++at;  // a fill byte
      continue;
    }
    const bool is_frame =
        marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC;
    if (!is_frame) {
      at += 2 + static_cast<std::size_t>(data[at + 2] << 8 | data[at + 3]);
      continue;
    }
    const int process = marker - 0xC0, bits = data[at + 4];
    check(process != 3, "lossless JPEG is not supported");
    check(process <= 2, "JPEG of process {} (arithmetic or hierarchical coding) is not supported", process);
    check(bits == 8, "JPEG of {} bits a sample is not supported, only 8", bits);
    return;
  }
}

RgbImage decode_jpeg_file(std::span<const uint8_t> data, int64_t max_pixels) {
  const auto [width, height] = decode({{}, data, nullptr, 0, 0, {}, false});
  check(width > 0 && height > 0 && width * height <= max_pixels, "JPEG: {}x{} pixels; at most {} are allowed",
        width, height, max_pixels);
  RgbImage image(width, height);
  decode({{}, data, nullptr, width, height, image.pixels, false});
  return image;
}

}  // namespace mt::wsi
