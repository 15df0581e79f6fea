#pragma once
// Makes JPEG 2000 codestreams for tests, through OpenJPEG.

#include <openjpeg.h>

#include <array>
#include <cstdint>
#include <functional>
#include <vector>

#include "tensor/check.h"

namespace mt::wsi::testing {

/// Lossless; component c has (side/step_x[c]) x (side/step_y[c]) samples given by `sample`.
struct Jpeg2000Encoder {
  static constexpr int64_t kSide = 64;
  int components = 3;
  std::array<int, 3> step_x = {1, 1, 1}, step_y = {1, 1, 1};
  std::function<int(int c, int64_t x, int64_t y)> sample;

  std::vector<uint8_t> encode() const {
    std::vector<opj_image_cmptparm_t> parameters(static_cast<std::size_t>(components));
    for (std::size_t c = 0; c < parameters.size(); ++c) {
      parameters[c] = {};
      parameters[c].dx = static_cast<OPJ_UINT32>(step_x[c]);
      parameters[c].dy = static_cast<OPJ_UINT32>(step_y[c]);
      parameters[c].w = static_cast<OPJ_UINT32>(kSide / step_x[c]);
      parameters[c].h = static_cast<OPJ_UINT32>(kSide / step_y[c]);
      parameters[c].prec = 8;
    }
    opj_image_t* image =
        opj_image_create(static_cast<OPJ_UINT32>(components), parameters.data(), OPJ_CLRSPC_UNSPECIFIED);
    image->x1 = image->y1 = kSide;
    for (int c = 0; c < components; ++c) {
      const opj_image_comp_t& component = image->comps[c];
      for (int64_t y = 0; y < component.h; ++y) {
        for (int64_t x = 0; x < component.w; ++x)
          component.data[y * component.w + x] =
              sample(c, x * step_x[static_cast<std::size_t>(c)], y * step_y[static_cast<std::size_t>(c)]);
      }
    }
    opj_cparameters_t settings;
    opj_set_default_encoder_parameters(&settings);
    settings.tcp_numlayers = 1;
    settings.cp_disto_alloc = 1;
    settings.numresolution = 3;
    settings.tcp_mct = 0;
    opj_codec_t* codec = opj_create_compress(OPJ_CODEC_J2K);
    opj_setup_encoder(codec, &settings, image);
    std::vector<uint8_t> bytes;
    opj_stream_t* stream = opj_stream_create(1 << 16, OPJ_FALSE);
    opj_stream_set_user_data(stream, &bytes, nullptr);
    opj_stream_set_write_function(stream, [](void* data, OPJ_SIZE_T count, void* target) -> OPJ_SIZE_T {
      auto* out = static_cast<std::vector<uint8_t>*>(target);
      out->insert(out->end(), static_cast<uint8_t*>(data), static_cast<uint8_t*>(data) + count);
      return count;
    });
    const bool good = opj_start_compress(codec, image, stream) && opj_encode(codec, stream) &&
                      opj_end_compress(codec, stream);
    opj_stream_destroy(stream);
    opj_destroy_codec(codec);
    opj_image_destroy(image);
    check(good, "test JPEG 2000: not encoded");
    return bytes;
  }
};

}  // namespace mt::wsi::testing
