// JPEG 2000 as Aperio writes it: against what was encoded, against OpenJPEG's own decode of the same tiles,
// and damaged.

#include <gtest/gtest.h>
#include <openjpeg.h>
#include <zlib.h>

#include <atomic>
#include <cmath>
#include <cstring>
#include <thread>

#include "tensor/check.h"
#include "tensor/rng.h"
#include "tests/wsi/jpeg2000_encoder.h"
#include "tests/wsi/tiny_tiff.h"
#include "wsi/codecs/codec.h"
#include "wsi/slide.h"
#include "wsi/tiff/directory.h"

namespace mt::wsi {
namespace {

using namespace testing;

constexpr int64_t kSide = Jpeg2000Encoder::kSide;

int ramp(int c, int64_t x, int64_t y) {
  return static_cast<int>(c == 0 ? 4 * x - x / 4 : c == 1 ? 255 - 4 * y + y / 16 : 2 * x + y) & 0xFF;
}

std::vector<uint8_t> decoded(const std::vector<uint8_t>& data, ColourModel colour) {
  std::vector<uint8_t> out(kSide * kSide * 3);
  decode_jpeg2000(data, colour, kSide, kSide, out);
  return out;
}

TEST(Jpeg2000Test, RgbIsGivenAsItWasWritten) {
  Jpeg2000Encoder encoder;
  encoder.sample = ramp;
  const std::vector<uint8_t> out = decoded(encoder.encode(), ColourModel::rgb);
  for (int64_t i = 0; i < kSide * kSide * 3; ++i)
    ASSERT_EQ(out[static_cast<std::size_t>(i)], ramp(static_cast<int>(i % 3), i / 3 % kSide, i / 3 / kSide))
        << i;
}

TEST(Jpeg2000Test, GreyIsRepeated) {
  Jpeg2000Encoder encoder;
  encoder.components = 1;
  encoder.sample = ramp;
  const std::vector<uint8_t> out = decoded(encoder.encode(), ColourModel::grey);
  for (std::size_t i = 0; i < out.size(); ++i) ASSERT_EQ(out[i], out[i / 3 * 3]);
  EXPECT_EQ(out[3 * 5], ramp(0, 5, 0));
}

TEST(Jpeg2000Test, YCbCrOfAnySubsamplingBecomesRgb) {
  for (const auto& [step_x, step_y] : {std::pair{1, 1}, {2, 1}, {2, 2}, {4, 1}}) {
    Jpeg2000Encoder encoder;
    encoder.step_x = {1, step_x, step_x};
    encoder.step_y = {1, step_y, step_y};
    encoder.sample = ramp;
    const std::vector<uint8_t> out = decoded(encoder.encode(), ColourModel::ycbcr);
    for (int64_t y = 0; y < kSide; ++y) {
      for (int64_t x = 0; x < kSide; ++x) {
        // JFIF 1.02, in double; the component's sample stands for all pixels that it covers.
        const double luma = ramp(0, x, y), cb = ramp(1, x / step_x * step_x, y / step_y * step_y) - 128.0,
                     cr = ramp(2, x / step_x * step_x, y / step_y * step_y) - 128.0;
        const double rgb[] = {luma + 1.402 * cr, luma - 0.344136286 * cb - 0.714136286 * cr,
                              luma + 1.772 * cb};
        for (std::size_t c = 0; c < 3; ++c) {
          const double exact = std::clamp(rgb[c], 0.0, 255.0);
          ASSERT_LE(std::abs(out[static_cast<std::size_t>((y * kSide + x) * 3) + c] - exact), 0.501)
              << x << ' ' << y;
        }
      }
    }
  }
}

TEST(Jpeg2000Test, ASlideOfBothAperioCompressionsAndTheGeneralOne) {
  Jpeg2000Encoder encoder;
  encoder.sample = ramp;
  const std::vector<uint8_t> tile = encoder.encode();
  for (const uint16_t compression : std::initializer_list<uint16_t>{33003, 33005, 34712}) {
    TinyImage image;
    image.width = image.height = 100;  // four tiles, the right and lower ones partly outside
    image.tile = static_cast<int>(kSide);
    image.description = "Aperio|MPP = 0.5";
    image.coded_tile = tile;
    image.compression = compression;
    const auto path = temporary_path(std::to_string(compression));
    write_tiny_tiff(path, {image});
    const RgbImage region = Slide::open(path)->read_region(60, 70, 0, 40, 30);
    const std::vector<uint8_t> expected =
        decoded(tile, compression == 33003 ? ColourModel::ycbcr : ColourModel::rgb);
    for (int64_t y = 0; y < 30; ++y) {
      for (int64_t x = 0; x < 40; ++x) {
        const int64_t at = ((70 + y) % kSide * kSide + (60 + x) % kSide) * 3;
        ASSERT_TRUE(std::equal(region.at(x, y), region.at(x, y) + 3, expected.begin() + at)) << x << ' ' << y;
      }
    }
  }
}

TEST(Jpeg2000Test, DamageIsAnErrorOfOneLineOrPixels) {
  Jpeg2000Encoder encoder;
  encoder.sample = ramp;
  const std::vector<uint8_t> good = encoder.encode();
  int refused = 0;
  const auto attempt = [&](const std::vector<uint8_t>& data) {
    try {
      decoded(data, ColourModel::rgb);
    } catch (const Error& error) {
      ++refused;
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    }
  };
  for (std::size_t length = 0; length < good.size(); length += length < 200 ? 1 : 41)
    attempt({good.begin(), good.begin() + static_cast<std::ptrdiff_t>(length)});
  EXPECT_GT(refused, 200);
  for (uint64_t trial = 0; trial < 300; ++trial) {
    RandomStream random(1, Purpose::test, 0, trial);
    std::vector<uint8_t> bent = good;
    for (int flips = 0; flips < 3; ++flips)
      bent[random.below(trial % 2 == 0 ? 130 : bent.size())] = static_cast<uint8_t>(random.next());
    attempt(bent);
  }
}

TEST(Jpeg2000Test, HeadersThatClaimAMillionPartsAreRefusedBeforeMemoryIsTaken) {
  Jpeg2000Encoder encoder;
  encoder.sample = ramp;
  const std::vector<uint8_t> good = encoder.encode();
  const auto error_with = [&](std::size_t at, std::initializer_list<uint8_t> bytes) {
    std::vector<uint8_t> data = good;
    std::copy(bytes.begin(), bytes.end(), data.begin() + static_cast<std::ptrdiff_t>(at));
    return error_of([&] { decoded(data, ColourModel::rgb); });
  };
  // SIZ (ISO/IEC 15444-1, A.5.1) begins at byte 2: tiles of 1 x 1; a picture of 2^31; 12 bits; 300
  // components.
  EXPECT_NE(error_with(24, {0, 0, 0, 1, 0, 0, 0, 1}).find("too many"), std::string::npos);
  EXPECT_NE(error_with(8, {0x7F, 0xFF, 0xFF, 0xFF}).find("JPEG 2000"), std::string::npos);
  EXPECT_NE(error_with(42, {11}).find("12 bits"), std::string::npos);
  EXPECT_NE(error_with(40, {1, 44}).find("300 colour components"), std::string::npos);
  // COD: 65,535 layers.
  const std::vector<uint8_t> marker{0xFF, 0x52};
  const auto cod = std::search(good.begin(), good.end(), marker.begin(), marker.end()) - good.begin();
  EXPECT_NE(error_with(static_cast<std::size_t>(cod) + 6, {0xFF, 0xFF}).find("65535 layers"),
            std::string::npos);
  EXPECT_NE(error_of([&] { decode_jpeg2000(good, ColourModel::rgb, 32, 32, {}); }).find("32x32 are needed"),
            std::string::npos);
  EXPECT_NE(error_of([&] { decoded(good, ColourModel::grey); }).find("3 colour components"),
            std::string::npos);
}

TEST(Jpeg2000Test, ManyThreadsDecodeTheSamePixels) {
  Jpeg2000Encoder encoder;
  encoder.sample = ramp;
  const std::vector<uint8_t> data = encoder.encode(), expected = decoded(data, ColourModel::rgb);
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20; ++i) wrong += decoded(data, ColourModel::rgb) == expected ? 0 : 1;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

/// OpenJPEG's own decode of one codestream, by its defaults.
std::vector<uint8_t> opj_decode_rgb(std::vector<uint8_t> data) {
  struct Source {
    const std::vector<uint8_t>* data;
    std::size_t at;
  } source{&data, 0};
  opj_stream_t* stream = opj_stream_create(data.size(), OPJ_TRUE);
  opj_stream_set_user_data(stream, &source, nullptr);
  opj_stream_set_user_data_length(stream, data.size());
  opj_stream_set_read_function(stream, [](void* target, OPJ_SIZE_T bytes, void* user) -> OPJ_SIZE_T {
    auto* from = static_cast<Source*>(user);
    const std::size_t count = std::min<std::size_t>(bytes, from->data->size() - from->at);
    std::memcpy(target, from->data->data() + from->at, count);
    from->at += count;
    return count == 0 ? static_cast<OPJ_SIZE_T>(-1) : count;
  });
  opj_codec_t* codec = opj_create_decompress(OPJ_CODEC_J2K);
  opj_dparameters_t parameters;
  opj_set_default_decoder_parameters(&parameters);
  opj_image_t* image = nullptr;
  EXPECT_TRUE(opj_setup_decoder(codec, &parameters) && opj_read_header(stream, codec, &image) &&
              opj_decode(codec, stream, image));
  std::vector<uint8_t> pixels;
  for (std::size_t i = 0; i < std::size_t{image->comps[0].w} * image->comps[0].h; ++i) {
    for (std::size_t c = 0; c < 3; ++c) pixels.push_back(static_cast<uint8_t>(image->comps[c].data[i]));
  }
  opj_image_destroy(image);
  opj_destroy_codec(codec);
  opj_stream_destroy(stream);
  return pixels;
}

TEST(RealSlidesTest, TcgaIsWhatOpenJpegMakesOfItsTiles) {
  MT_NEEDS_REAL_SLIDES();
  const auto path = real_slides_folder() / "tcga-cr-7395-01a-01-ts1.svs";
  const auto slide = Slide::open(path);
  ASSERT_EQ(slide->level_count(), 2);
  EXPECT_EQ(slide->levels()[0].width, 4443);
  EXPECT_EQ(slide->levels()[1].height, 1783);
  EXPECT_FALSE(slide->mpp());
  const TiffFile file(path);
  const TiffDirectory& finest = file.first();
  for (const int64_t index : {0, 57, 133, 200, 251}) {
    const int64_t x = index % finest.chunks_across() * 256, y = index / finest.chunks_across() * 256;
    const auto i = static_cast<std::size_t>(index);
    const std::vector<uint8_t> expected =
        opj_decode_rgb(file.bytes().read(finest.offsets[i], finest.byte_counts[i]));
    const int64_t width = std::min<int64_t>(256, 4443 - x), height = std::min<int64_t>(256, 3567 - y);
    const RgbImage region = slide->read_region(x, y, 0, width, height);
    for (int64_t row = 0; row < height; ++row) {
      const auto from = expected.begin() + row * 256 * 3;
      ASSERT_TRUE(std::equal(from, from + width * 3, region.at(0, row))) << index << ' ' << row;
    }
  }
  // The mean colour of both levels, which are of one tissue.
  for (int level = 0; level < 2; ++level) {
    const Level& size = slide->levels()[static_cast<std::size_t>(level)];
    const RgbImage whole = slide->read_region(0, 0, level, size.width, size.height);
    std::array<double, 3> mean{};
    for (std::size_t k = 0; k < whole.pixels.size(); ++k) mean[k % 3] += whole.pixels[k];
    const std::array<double, 3> golden = {217.7037, 158.6180,
                                          188.4704};  // tifffile 2026.3 with imagecodecs, level 0
    for (std::size_t c = 0; c < 3; ++c)
      EXPECT_NEAR(mean[c] / static_cast<double>(size.width * size.height), golden[c],
                  level == 0 ? 1e-3 : 1.0);
  }
}

}  // namespace
}  // namespace mt::wsi
