#include "tests/harness/golden_generator.h"

#include <gtest/gtest.h>

namespace mt {
namespace {

TEST(GoldenGeneratorTest, FirstNumbersAreThoseOfTheFile) {
  const NpzFile file = testing::open_golden("generator_check.npz");
  const auto check_values = [&](const char* name, uint64_t seed, uint64_t stream) {
    const Tensor want = file[name];
    for (uint64_t i = 0; i < 16; ++i)
      EXPECT_EQ(testing::golden_value(seed, stream, i), want.data<float>()[i]) << name;
  };
  const auto check_bits = [&](const char* name, uint64_t seed, uint64_t stream) {
    const Tensor want = file[name];
    for (uint64_t i = 0; i < 16; ++i) {
      EXPECT_EQ(static_cast<int64_t>(testing::golden_bits(seed, stream, i)), want.data<int64_t>()[i]) << name;
    }
  };
  check_values("hv_seed1_stream0_16", 1, 0);
  check_values("hv_seed123_stream45_16", 123, 45);
  check_bits("hbits_seed1_stream0_16", 1, 0);
  check_bits("hbits_seed123_stream45_16", 123, 45);
  const Tensor bytes = file["hu8_seed100_stream0_16"];
  for (uint64_t i = 0; i < 16; ++i) EXPECT_EQ(testing::golden_byte(100, 0, i), bytes.data<uint8_t>()[i]);
}

TEST(GoldenGeneratorTest, Crc32IsZlibs) {
  EXPECT_EQ(testing::crc32_of("123456789", 9), 0xCBF43926U);  // the check value of CRC-32/ISO-HDLC
}

}  // namespace
}  // namespace mt
