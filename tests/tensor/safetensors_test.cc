#include "tensor/io/safetensors.h"

#include <gtest/gtest.h>

#include "tensor/io/input_file.h"
#include "tensor/rng.h"
#include "tests/harness/error_of.h"
#include "tests/harness/temporary_folder.h"

namespace mt {
namespace {

NamedTensors example() {
  const Tensor matrix = Tensor::of<float>({1, 2, 3, 4, 5, 6}, Shape({2, 3}));
  return {{"weight", matrix},
          {"transposed \"name\"", matrix.transpose(0, 1)},
          {"count", Tensor::of<int64_t>({7}, Shape({}))},
          {"empty", Tensor::empty(Shape({0, 3}), DType::u8)},
          {"half", Tensor::empty(Shape({2}), DType::bf16)}};
}

std::string file_with(const std::string& json, const std::string& data) {
  std::string content(8, '\0');
  content[0] = static_cast<char>(json.size());
  content[1] = static_cast<char>(json.size() >> 8);
  return content + json + data;
}

TEST(SafetensorsTest, RoundTripKeepsOrderTypesAndMetadata) {
  const TemporaryFolder folder;
  write_safetensors(folder / "w", example(), {{"channels", "rgb"}});
  const SafetensorsFile file(folder / "w");
  EXPECT_EQ(file.names().size(), 5);
  EXPECT_EQ(file.names()[0], "weight");
  EXPECT_EQ(file.metadata().at("channels"), "rgb");
  EXPECT_EQ(file.dtype("half"), DType::bf16);
  EXPECT_EQ(file.shape("empty"), Shape({0, 3}));
  EXPECT_EQ(file["count"].item<int64_t>(), 7);
  const Tensor transposed = file["transposed \"name\""];  // (3,2)
  const std::vector<float> values(transposed.span<float>().begin(), transposed.span<float>().end());
  EXPECT_EQ(values, (std::vector<float>{1, 4, 2, 5, 3, 6}));
  EXPECT_EQ(file.read_all().size(), 5);
}

TEST(SafetensorsTest, HeaderLiesAreNamed) {
  const TemporaryFolder folder;
  const auto error = [&](const std::string& json, const std::string& data) {
    folder.put("w", file_with(json, data));
    const std::string text = error_of([&] { SafetensorsFile file(folder / "w"); });
    return text.substr(std::min(text.size(), (folder / "w: ").size()));
  };
  EXPECT_EQ(error(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", "1234"),
            "tensor a (2) of f32 has 4 bytes");
  EXPECT_EQ(error(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", "1234"),
            "tensor a ends at byte 8 of 4; is the file complete?");
  EXPECT_EQ(error(R"({"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},"b":{"dtype":"U8","shape":[2],)"
                  R"("data_offsets":[2,4]}})",
                  "1234"),
            "tensor b overlaps another");
  EXPECT_EQ(error(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[3,4]}})", "1234"),
            "bytes before tensor a belong to none");
  EXPECT_EQ(error(R"({"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}})", "1234"),
            "1 bytes after the last tensor");
  EXPECT_EQ(error(R"({"a":{"dtype":"Q9","shape":[4],"data_offsets":[0,4]}})", "1234"),
            "tensor a has type Q9, which is not supported");
  EXPECT_EQ(error(R"({"a":{"dtype":"U8","shape":[-4],"data_offsets":[0,4]}})", "1234"),
            "tensor a has a bad number in shape");
  EXPECT_EQ(error(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"a":{"dtype":"U8","shape":[4],)"
                  R"("data_offsets":[0,4]}})",
                  "1234"),
            "the safetensors header: \"a\" is there twice");
  EXPECT_EQ(error("[1]", ""), "the safetensors header is no JSON object");
  EXPECT_EQ(error("{\"a\"", ""), "the safetensors header: not readable as JSON at byte 5; is it complete?");
  folder.put("w", "\xff\xff\xff\xff\xff\xff\xff\xff{}");
  EXPECT_THROW(SafetensorsFile(folder / "w"), Error);
}

TEST(SafetensorsTest, RefusesToWriteANameTwice) {
  const TemporaryFolder folder;
  const Tensor one = Tensor::of<float>({1}, Shape({1}));
  EXPECT_THROW(write_safetensors(folder / "w", {{"a", one}, {"a", one}}), Error);
  EXPECT_THROW(write_safetensors(folder / "w", {{"\xff", one}}), Error);
}

TEST(SafetensorsTest, DamagedFilesNeverCrash) {
  const TemporaryFolder folder;
  write_safetensors(folder / "w", example(), {{"channels", "rgb"}});
  const std::string content = read_file(folder / "w");
  for (std::size_t length = 0; length < content.size(); ++length) {
    const std::string path = folder.put("d", content.substr(0, length));
    ASSERT_THROW(SafetensorsFile(path).read_all(), Error) << length;
  }
  RandomStream random(5, Purpose::test);
  for (int flip = 0; flip < 500; ++flip) {
    std::string damaged = content;
    damaged[random.below(damaged.size())] ^= static_cast<char>(1U << random.below(8));
    const std::string path = folder.put("d", damaged);
    ASSERT_TRUE(survives([&] { SafetensorsFile(path).read_all(); }));
  }
}

}  // namespace
}  // namespace mt
