// JPEG 2000 through OpenJPEG. Aperio keeps a bare codestream in each tile (compression 33003: YCbCr, the
// colour components often at half the width; 33005: RGB).

#include <openjpeg.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>

#include "tensor/check.h"
#include "wsi/codecs/codec.h"
#include "wsi/codecs/jpeg2000_header.h"

namespace mt::wsi {
namespace {

/// What OpenJPEG reads from.
struct Source {
  std::span<const uint8_t> data;
  std::size_t at = 0;
};

OPJ_SIZE_T read_source(void* target, OPJ_SIZE_T bytes, void* user) {
  auto* source = static_cast<Source*>(user);
  const std::size_t count = std::min<std::size_t>(bytes, source->data.size() - source->at);
  if (count == 0) return static_cast<OPJ_SIZE_T>(-1);
  std::memcpy(target, source->data.data() + source->at, count);
  source->at += count;
  return count;
}

OPJ_OFF_T skip_source(OPJ_OFF_T bytes, void* user) {
  auto* source = static_cast<Source*>(user);
  if (bytes < 0 || static_cast<std::size_t>(bytes) > source->data.size() - source->at) return -1;
  source->at += static_cast<std::size_t>(bytes);
  return bytes;
}

OPJ_BOOL seek_source(OPJ_OFF_T position, void* user) {
  auto* source = static_cast<Source*>(user);
  if (position < 0 || static_cast<std::size_t>(position) > source->data.size()) return OPJ_FALSE;
  source->at = static_cast<std::size_t>(position);
  return OPJ_TRUE;
}

void keep_message(const char* message, void* text) {
  auto* kept = static_cast<std::string*>(text);
  if (!kept->empty()) return;  // the first one is the cause
  *kept = message;
  std::replace_if(
      kept->begin(), kept->end(), [](char c) { return static_cast<unsigned char>(c) < ' '; }, ' ');
  while (kept->ends_with(' ')) kept->pop_back();
}

void ignore_message(const char*, void*) {}

struct CloseImage {
  void operator()(opj_image_t* image) const { opj_image_destroy(image); }
};
// To OpenJPEG streams and codecs are of one type.
struct CloseStream {
  void operator()(opj_stream_t* stream) const { opj_stream_destroy(stream); }
};
struct CloseCodec {
  void operator()(opj_codec_t* codec) const { opj_destroy_codec(codec); }
};

using Image = std::unique_ptr<opj_image_t, CloseImage>;

Image decode(std::span<const uint8_t> data) {
  Source source{data};
  const std::unique_ptr<opj_stream_t, CloseStream> stream(opj_stream_create(std::size_t{1} << 16, OPJ_TRUE));
  check(stream != nullptr, "JPEG 2000: no memory");
  opj_stream_set_user_data(stream.get(), &source, nullptr);
  opj_stream_set_user_data_length(stream.get(), data.size());
  opj_stream_set_read_function(stream.get(), read_source);
  opj_stream_set_skip_function(stream.get(), skip_source);
  opj_stream_set_seek_function(stream.get(), seek_source);
  const std::unique_ptr<opj_codec_t, CloseCodec> codec(opj_create_decompress(OPJ_CODEC_J2K));
  check(codec != nullptr, "JPEG 2000: no memory");
  std::string text;
  opj_set_error_handler(codec.get(), keep_message, &text);
  opj_set_warning_handler(codec.get(), ignore_message, nullptr);
  opj_set_info_handler(codec.get(), ignore_message, nullptr);
  opj_dparameters_t parameters;
  opj_set_default_decoder_parameters(&parameters);
  opj_image_t* read = nullptr;
  bool good = opj_setup_decoder(codec.get(), &parameters) == OPJ_TRUE;
  good = good && opj_read_header(stream.get(), codec.get(), &read) == OPJ_TRUE;
  Image image(read);
  good = good && opj_decode(codec.get(), stream.get(), image.get()) == OPJ_TRUE;
  check(good, "JPEG 2000: {}", text.empty() ? "corrupt data" : text);
  return image;
}

/// One component, spread over the whole picture.
struct Component {
  const int32_t* samples;
  int64_t width, step_x, step_y;
  int32_t offset;  // of signed samples

  int32_t at(int64_t x, int64_t y) const { return samples[y / step_y * width + x / step_x] + offset; }
};

uint8_t clamped(int32_t value) {
  return static_cast<uint8_t>(std::clamp(value, 0, 255));
}

/// JFIF's equations in 16 bits behind the point, as libjpeg has them.
void ycbcr_to_rgb(int32_t y, int32_t cb, int32_t cr, uint8_t* rgb) {
  constexpr auto fixed = [](double x) { return static_cast<int32_t>(x * 65536 + 0.5); };
  constexpr int32_t kHalf = 1 << 15;
  cb -= 128;
  cr -= 128;
  rgb[0] = clamped(y + ((fixed(1.402) * cr + kHalf) >> 16));
  rgb[1] = clamped(y + ((-fixed(0.344136286) * cb - fixed(0.714136286) * cr + kHalf) >> 16));
  rgb[2] = clamped(y + ((fixed(1.772) * cb + kHalf) >> 16));
}

Component component_of(const opj_image_t& image, uint32_t index, const Jpeg2000Header& header) {
  const opj_image_comp_t& component = image.comps[index];
  const int64_t step_x = header.components[index].step_x, step_y = header.components[index].step_y;
  check(component.data != nullptr && component.w == (header.width + step_x - 1) / step_x &&
            component.h == (header.height + step_y - 1) / step_y,
        "JPEG 2000: component {} has {}x{} samples", index, component.w, component.h);
  return {component.data, component.w, step_x, step_y, component.sgnd != 0 ? 128 : 0};
}

}  // namespace

void decode_jpeg2000(std::span<const uint8_t> data, ColourModel colour, int64_t width, int64_t height,
                     std::span<uint8_t> out) {
  const std::span<const uint8_t> codestream = jpeg2000_codestream(data);
  const Jpeg2000Header header = read_jpeg2000_header(codestream);
  check(header.width == width && header.height >= height,
        "JPEG 2000: its header says {}x{} where {}x{} are needed", header.width, header.height, width,
        height);
  const uint32_t needed = colour == ColourModel::grey ? 1 : 3;
  check(header.components.size() == needed, "JPEG 2000: {} colour components where the TIFF says {}",
        header.components.size(), needed);
  const Image image = decode(codestream);
  check(image->numcomps == needed, "JPEG 2000: {} colour components where the header says {}",
        image->numcomps, needed);
  std::array<Component, 3> components{};
  for (uint32_t c = 0; c < 3; ++c) components[c] = component_of(*image, std::min(c, needed - 1), header);
  uint8_t* to = out.data();
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < width; ++x, to += 3) {
      const int32_t a = components[0].at(x, y), b = components[1].at(x, y), c = components[2].at(x, y);
      if (colour == ColourModel::ycbcr) {
        ycbcr_to_rgb(a, b, c, to);
      } else {
        to[0] = clamped(a);
        to[1] = clamped(b);
        to[2] = clamped(c);
      }
    }
  }
}

}  // namespace mt::wsi
