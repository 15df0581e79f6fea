#include "tensor/text.h"

#include <gtest/gtest.h>

#include "tensor/check.h"
#include "tests/harness/error_of.h"

namespace mt {
namespace {

TEST(TextTest, KnowsUtf8) {
  for (const char* good :
       {"", "S00", "a\"b", "Gewebe-\xc3\xbc", "\xe8\x85\xab\xe7\x98\xa4", "\xf0\x9f\x94\xac"})
    EXPECT_TRUE(is_utf8(good)) << good;
  // Latin-1, overlong forms, a surrogate, beyond U+10FFFF, a byte that never comes, a character cut off.
  for (const char* bad : {"caf\xe9", "\xc0\xaf", "\xe0\x80\xaf", "\xf0\x80\x80\xaf", "\xed\xa0\x80",
                          "\xf4\x90\x80\x80", "\xff", "\xc3", "\xe8\x85"})
    EXPECT_FALSE(is_utf8(bad)) << bad;
}

TEST(TextTest, PrintableTextIsOneLineAndCommandsNoTerminal) {
  EXPECT_EQ(printable("Gewebe-\xc3\xbc #1"), "Gewebe-\xc3\xbc #1");
  EXPECT_EQ(printable("a\nerror: b\x1b[31m\x7f"), "a\\x0aerror: b\\x1b[31m\\x7f");
  EXPECT_EQ(printable("caf\xe9\xc2\x9b"), "caf\\xe9\\xc2\\x9b");
  EXPECT_EQ(printable("0123456789", 4), "0123…");
}

}  // namespace
TEST(ErrorTest, IsOneLineWhateverItQuotes) {
  const std::string hostile("a\nerror: forged\x1b[31m\r\0b\xff", 24);
  EXPECT_EQ(error_of([&] { fail("{}: damaged", hostile); }),
            "a\\x0aerror: forged\\x1b[31m\\x0d\\x00b\\xff: damaged");
  EXPECT_EQ(std::string(UsageError("µm: ✓").what()), "µm: ✓");
  EXPECT_LT(std::string(Error(std::string(1 << 20, 'x')).what()).size(), 9000U);
}

}  // namespace mt
