// JPEG files against Pillow's pixels, to the last bit: both use libjpeg-turbo's accurate inverse DCT and
// smooth chroma.

#include <gtest/gtest.h>

#include <algorithm>

#include "tensor/io/npz.h"
#include "tests/harness/places.h"
#include "wsi/codecs/codec.h"

namespace mt::wsi {
namespace {

std::vector<uint8_t> bytes_of(const Tensor& tensor) {
  return {tensor.data<uint8_t>(), tensor.data<uint8_t>() + tensor.numel()};
}

class JpegGolden : public ::testing::TestWithParam<const char*> {};

TEST_P(JpegGolden, GivesPillowsPixels) {
  const NpzFile golden(testing::golden_path("images.npz"));
  const std::vector<uint8_t> file = bytes_of(golden[std::string("jpeg_") + GetParam() + "_bytes"]);
  const Tensor expected = golden[std::string("jpeg_") + GetParam() + "_pil"];  // (H,W,3), grey: (H,W)
  const RgbImage image = decode_jpeg_file(file, 64 * 72);
  ASSERT_EQ(image.height, expected.dim(0));
  ASSERT_EQ(image.width, expected.dim(1));
  std::vector<uint8_t> pixels = bytes_of(expected);
  if (expected.rank() == 2) {
    std::vector<uint8_t> rgb;
    for (const uint8_t grey : pixels) rgb.insert(rgb.end(), 3, grey);
    pixels = rgb;
  }
  EXPECT_TRUE(std::equal(pixels.begin(), pixels.end(), image.pixels.begin(), image.pixels.end()));
}

INSTANTIATE_TEST_SUITE_P(Subsampling, JpegGolden,
                         ::testing::Values("q90_420", "q90_444", "q75_422", "q80_420_progressive", "gray"),
                         [](const auto& file) { return std::string(file.param); });

}  // namespace
}  // namespace mt::wsi
