// Small files that ask for all memory, all time, or for patience: refused soon, in one line.

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <chrono>

#include "tensor/check.h"
#include "tensor/io/csv.h"
#include "tensor/io/input_file.h"
#include "tensor/io/json_within.h"
#include "tensor/io/npz.h"
#include "tensor/io/safetensors.h"
#include "tensor/io/torch_checkpoint.h"
#include "tensor/sanitizers.h"
#include "tests/harness/error_of.h"
#include "tests/harness/temporary_folder.h"

namespace mt {
namespace {

/// Megabytes of memory that this process has had at most.
int64_t peak_mb() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss / 1024;
}

/// At most 512 MB; sanitizers take memory of their own.
void expect_little_memory() {
  constexpr bool kSanitized = MT_ADDRESS_SANITIZER != 0 || MT_THREAD_SANITIZER != 0;
  EXPECT_TRUE(kSanitized || peak_mb() < 512) << peak_mb();
}

/// The error of `read`, which must come within 10 s of work and 512 MB.
template <typename Read>
std::string refusal_of(const Read& read) {
  const auto begin = std::chrono::steady_clock::now();
  const std::string text = error_of(read);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
  expect_little_memory();
  return text;
}

std::string legacy_header() {
  // Magic number, protocol and machine of torch's legacy format, as small pickles.
  std::string text("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}.",
                   25);
  return text;
}

TEST(BombsTest, AnOrderedDictMadeOverAndOverFromOneList) {
  // 60,000 pairs in a list of the memo, and 60,000 calls with it: 57 GB of pointers.
  std::string pickle = "\x80\x02]r\x01";
  pickle += std::string("\0\0\0(", 4);
  for (int i = 0; i < 60000; ++i) pickle += "K\1K\2\x86";
  pickle += 'e';
  pickle += "ccollections\nOrderedDict\nr\x02";
  pickle += std::string("\0\0\0", 3);
  for (int i = 0; i < 60000; ++i) pickle += std::string("j\x02\0\0\0j\x01\0\0\0\x85R0", 13);
  pickle += "N.";
  const TemporaryFolder folder;
  folder.put("a.pth", legacy_header() + pickle);
  EXPECT_NE(refusal_of([&] { read_torch_checkpoint(folder / "a.pth"); }).find("more memory"),
            std::string::npos);
}

TEST(BombsTest, AStorageThatIsATupleOfOne) {  // found by make fuzz: its second item was named in the error
  const TemporaryFolder folder;
  for (const char* tuple : {")", "N\x85", "X\7\0\0\0storage\x85", "N"}) {
    folder.put("a.pth", legacy_header() + "\x80\x02" +
                            (tuple[0] == 'X' ? std::string("X\7\0\0\0storage\x85", 13) : tuple) + "Q.");
    EXPECT_NE(refusal_of([&] { read_torch_checkpoint(folder / "a.pth"); }).find("other than a storage"),
              std::string::npos);
  }
}

TEST(BombsTest, ManyMarksTextsAndMemos) {
  const TemporaryFolder folder;
  for (const std::string& unit :
       {std::string("("), std::string("N"), std::string("]"), std::string("2"), std::string("\x94")}) {
    std::string pickle = "\x80\x02N";
    while (pickle.size() < (std::size_t{48} << 20)) pickle += unit;
    folder.put("a.pth", legacy_header() + pickle);
    EXPECT_NE(refusal_of([&] { read_torch_checkpoint(folder / "a.pth"); }).find("more memory"),
              std::string::npos);
  }
}

TEST(BombsTest, SafetensorsOfManyEmptyTensorsTakesLinearTime) {
  const TemporaryFolder folder;
  std::string header = "{";
  for (int i = 0; i < 200000; ++i)
    header += fmt::format("{}\"t{}\":{{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}",
                          i == 0 ? "" : ",", i);
  header += "}";
  std::string file(8, '\0');
  for (std::size_t i = 0; i < 8; ++i) file[i] = static_cast<char>(header.size() >> (8 * i));
  folder.put("a.safetensors", file + header);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(SafetensorsFile(folder / "a.safetensors").names().size(), 200000U);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
  expect_little_memory();
}

TEST(BombsTest, JsonThatIsDeepOrLarge) {
  const std::string deep(20'000'000, '[');
  EXPECT_NE(refusal_of([&] { parse_json_within(deep, {}, "deep"); }).find("levels deep"), std::string::npos);
  std::string wide = "[";
  for (int i = 0; i < 10'000'000; ++i) wide += "{},";
  EXPECT_NE(refusal_of([&] { parse_json_within(wide + "0]", {}, "wide"); }).find("more than 64 MB"),
            std::string::npos);
  EXPECT_EQ(parse_json_within("{\"a\":[1,2]}", {}, "good").at("a").size(), 2U);
}

TEST(BombsTest, AFifoIsRefusedAndNotWaitedFor) {
  const TemporaryFolder folder;
  const std::string path = folder / "fifo";
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  EXPECT_NE(error_of([&] { InputFile file(path); }).find("not a regular file"), std::string::npos);
  EXPECT_NE(error_of([&] { read_csv(path); }).find("not a regular file"), std::string::npos);
  EXPECT_NE(error_of([&] { read_weights(path); }).find("not a regular file"), std::string::npos);
  EXPECT_NE(error_of([&] { NpzFile file(path); }).find("not a regular file"), std::string::npos);
  EXPECT_NE(error_of([&] { InputFile file("/dev/zero"); }).find("not a regular file"), std::string::npos);
}

}  // namespace
}  // namespace mt
