#include "tensor/io/npz.h"

#include <gtest/gtest.h>

#include <string>

#include "tensor/io/input_file.h"
#include "tensor/rng.h"
#include "tests/harness/error_of.h"
#include "tests/harness/places.h"
#include "tests/harness/temporary_folder.h"

namespace mt {
namespace {

std::string npy(const std::string& dict, const std::string& data) {
  std::string content = "\x93NUMPY";
  content += {'\1', '\0', static_cast<char>(dict.size()), '\0'};
  return content + dict + data;
}

TEST(NpzTest, ReadsGoldenArraysOfSeveralTypes) {
  const NpzFile file(testing::golden_path("generator_check.npz"));
  EXPECT_TRUE(file.has("hv_seed1_stream0_16"));
  EXPECT_FALSE(file.has("absent"));
  const Tensor values = file["hv_seed1_stream0_16"];  // (16)
  EXPECT_EQ(values.shape(), Shape({16}));
  const Tensor bits = file["hbits_seed1_stream0_16"];  // (16), uint64
  for (int64_t i = 0; i < 16; ++i) {
    // hv is made of the upper 40 bits (the golden data's README).
    const auto upper = static_cast<int64_t>(static_cast<uint64_t>(bits.data<int64_t>()[i]) >> 40);
    EXPECT_EQ(values.data<float>()[i], static_cast<float>(upper - (1 << 23)) * 0x1p-23F);
  }
  const NpzFile odd(testing::golden_path("odd_expected.npz"));
  EXPECT_EQ(odd["i64_0d"].rank(), 0);
  EXPECT_EQ(odd["empty"].shape(), Shape({0, 3}));
  EXPECT_EQ(odd["bool"].dtype(), DType::boolean);
  EXPECT_EQ(odd["f16"].dtype(), DType::f16);
}

TEST(NpzTest, FortranOrderIsTransposed) {
  const std::string data("\1\2\3\4\5\6", 6);
  const Tensor c = parse_npy(npy("{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3), }", data), "c");
  const Tensor f = parse_npy(npy("{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3), }", data), "f");
  EXPECT_EQ(std::vector<uint8_t>(c.span<uint8_t>().begin(), c.span<uint8_t>().end()),
            (std::vector<uint8_t>{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(std::vector<uint8_t>(f.span<uint8_t>().begin(), f.span<uint8_t>().end()),
            (std::vector<uint8_t>{1, 3, 5, 2, 4, 6}));
}

TEST(NpzTest, RefusesWhatItCannotRepresent) {
  EXPECT_THROW(parse_npy(npy("{'descr': '>f4', 'fortran_order': False, 'shape': (1,), }", "abcd"), "x"),
               Error);
  EXPECT_THROW(parse_npy(npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", "abcd"), "x"),
               Error);
  EXPECT_THROW(parse_npy(npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }", "abcd"), "x"),
               Error);
  EXPECT_THROW(parse_npy("\x93NUMPY", "x"), Error);
  EXPECT_THROW(NpzFile("/nonexistent.npz"), Error);
  EXPECT_THROW(NpzFile(testing::golden_path("generator_check.npz"))["absent"], Error);
}

void read_all(const std::string& path) {
  const NpzFile file(path);
  for (const std::string& name : file.names()) (void)file[name];
}

TEST(NpzTest, DamagedFilesNeverCrash) {
  const TemporaryFolder folder;
  const std::string content = read_file(testing::golden_path("generator_check.npz"));
  for (std::size_t length = 0; length < content.size(); ++length) {
    const std::string path = folder.put("cut.npz", content.substr(0, length));
    ASSERT_THROW(read_all(path), Error) << length << " bytes";
  }
  RandomStream random(6, Purpose::test);
  for (int flip = 0; flip < 500; ++flip) {
    std::string damaged = content;
    damaged[random.below(damaged.size())] ^= static_cast<char>(1 + random.below(255));
    const std::string path = folder.put("damaged.npz", damaged);
    ASSERT_TRUE(survives([&] { read_all(path); }));
  }
}

// A header that is damaged behind libzip's checksums: in memory.
TEST(NpzTest, DamagedHeadersNeverCrash) {
  const std::string content =
      npy("{'descr': '<i2', 'fortran_order': True, 'shape': (2, 3), }", std::string(12, '\7'));
  RandomStream random(7, Purpose::test);
  for (int flip = 0; flip < 5000; ++flip) {
    std::string damaged = content;
    damaged[random.below(damaged.size() - 12)] = static_cast<char>(random.below(256));
    ASSERT_TRUE(survives([&] { parse_npy(damaged, "x"); }));
  }
}

}  // namespace
}  // namespace mt
