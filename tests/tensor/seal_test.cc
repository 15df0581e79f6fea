#include "tensor/io/seal.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "tensor/check.h"
#include "tensor/io/safetensors.h"
#include "tests/harness/temporary_folder.h"

namespace mt {
namespace {

std::string content_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

bool is_whole(std::string_view content) {
  try {
    check_seal(content, "a.json", "delete it");
    return true;
  } catch (const Error& error) {
    EXPECT_TRUE(std::string(error.what()).starts_with("a.json: ")) << error.what();
    EXPECT_TRUE(std::string(error.what()).ends_with("; delete it")) << error.what();
    return false;
  }
}

/// Every bit of a small file, turned over, must be seen; so must every shorter file.
void expect_every_damage_seen(const std::string& whole) {
  ASSERT_TRUE(is_whole(whole));
  for (std::size_t i = 0; i < whole.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string flipped = whole;
      flipped[i] = static_cast<char>(flipped[i] ^ (1 << bit));
      EXPECT_FALSE(is_whole(flipped)) << "byte " << i << " bit " << bit;
    }
    EXPECT_FALSE(is_whole(std::string_view(whole).substr(0, i))) << i;
  }
  EXPECT_FALSE(is_whole(whole + " "));
}

TEST(SealTest, EveryFlippedBitOfATextIsSeen) {
  expect_every_damage_seen(sealed("{\"checksum\": \"" + blank_seal() + "\", \"value\": 3}\n"));
}

TEST(SealTest, EveryFlippedBitOfASafetensorsFileIsSeen) {
  const TemporaryFolder folder;
  const std::string path = folder / "a.safetensors";
  write_safetensors(path, {{"x", Tensor::of(std::vector<float>{1, 2}, {2})}},
                    {{"a", "b"}, {"checksum", blank_seal()}});
  EXPECT_EQ(SafetensorsFile(path)["x"].span<float>()[1], 2.0F);
  EXPECT_EQ(SafetensorsFile(path).metadata().at("checksum"), std::string(kSealMark) + read_seal(path));
  expect_every_damage_seen(content_of(path));
}

TEST(SealTest, StandsInTheTailOfALargeFileOfBytes) {
  const TemporaryFolder folder;
  // The digits of the second file lie on both sides of a block that is hashed at a time.
  for (const std::size_t size : {std::size_t{3} << 20, (std::size_t{1} << 20) - 40}) {
    const std::string whole = sealed(std::string(size, '\7') + blank_seal() + "\n");
    const std::string path = folder.put("whole", whole);
    EXPECT_EQ(check_seal(path, "delete it"), whole.substr(whole.size() - 65, 64));
    EXPECT_EQ(read_seal(path), whole.substr(whole.size() - 65, 64));
    for (const std::size_t i : {std::size_t{0}, size / 2, size - 1, whole.size() - 30, whole.size() - 1}) {
      std::string flipped = whole;
      flipped[i] = static_cast<char>(flipped[i] ^ 16);
      EXPECT_FALSE(is_whole(flipped)) << i;
      EXPECT_THROW(check_seal(folder.put("flipped", flipped), "delete it"), Error) << i;
    }
  }
}

TEST(SealTest, WhatItWasMadeFromStandsBesideTheSeal) {
  const TemporaryFolder folder;
  const std::string digits(64, 'a');
  const std::string mark = std::string(kMadeFromMark) + digits;
  for (const std::string& content : {mark + blank_seal() + std::string(1 << 20, 'x'),
                                     std::string(1 << 20, 'x') + mark + "\n" + blank_seal() + "\n"}) {
    const std::string path = folder.put("a", sealed(content));
    EXPECT_EQ(read_made_from(path), digits);
    EXPECT_EQ(check_seal(path, "delete it"), read_seal(path));
  }
  EXPECT_EQ(read_made_from(folder.put("b", sealed(blank_seal()))), "");
}

TEST(SealTest, WhatIsNotSealedSaysSo) {
  const TemporaryFolder folder;
  EXPECT_EQ(read_seal(folder.put("plain", "no seal here")), "");
  EXPECT_EQ(read_seal(folder.put("empty", "")), "");
  EXPECT_FALSE(is_whole("no seal here"));
  EXPECT_FALSE(is_whole(""));
  EXPECT_THROW(sealed("no blank seal"), Error);
}

}  // namespace
}  // namespace mt
