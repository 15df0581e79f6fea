#include "tensor/io/csv.h"

#include <gtest/gtest.h>

#include "tensor/rng.h"
#include "tests/harness/error_of.h"

namespace mt {
namespace {

CsvTable table(std::string_view text) {
  return CsvTable(parse_csv_rows(text, "t.csv"), "t.csv");
}

TEST(CsvTest, ReadsQuotesCrlfAndByteOrderMark) {
  const CsvTable csv =
      table("\xEF\xBB\xBFslide_id,label\r\n\"a, b\",\"say \"\"x\"\"\"\r\n\r\n\"two\nlines\",\r\nlast,1");
  EXPECT_EQ(csv.header(), (std::vector<std::string>{"slide_id", "label"}));
  ASSERT_EQ(csv.rows().size(), 3);
  EXPECT_EQ(csv.rows()[0].fields, (std::vector<std::string>{"a, b", "say \"x\""}));
  EXPECT_EQ(csv.rows()[1].fields, (std::vector<std::string>{"two\nlines", ""}));
  EXPECT_EQ(csv.rows()[2].fields, (std::vector<std::string>{"last", "1"}));
  EXPECT_EQ(csv.rows()[2].line, 6);
  EXPECT_EQ(csv.column("label"), 1);
  EXPECT_FALSE(csv.find_column("split"));
}

TEST(CsvTest, KeepsARowOfEmptyFields) {
  EXPECT_EQ(parse_csv_rows(",\n", "t").size(), 1);
  EXPECT_EQ(parse_csv_rows("a,\n", "t")[0].fields.size(), 2);
  EXPECT_TRUE(parse_csv_rows("", "t").empty());
}

TEST(CsvTest, ErrorsNameSourceAndLine) {
  EXPECT_EQ(error_of([] { table("a,b\n1\n"); }), "t.csv: line 2: has 1 fields, the header has 2");
  EXPECT_EQ(error_of([] { table("a\n\"x\n"); }), "t.csv: line 2: a quoted field never ends");
  EXPECT_EQ(error_of([] { table("a\n\"x\"y\n"); }), "t.csv: line 2: text after the closing quote of a field");
  EXPECT_EQ(error_of([] { table("a,a\n"); }), "t.csv: the column 'a' is there twice");
  EXPECT_EQ(error_of([] { table(""); }), "t.csv: is empty; a header line is needed");
  EXPECT_EQ(error_of([] { (void)table("a,b\n").column("c"); }), "t.csv: has no column 'c'; it has: a, b");
  EXPECT_EQ(error_of([] { parse_csv_rows(std::string_view("a\0b", 3), "t.csv"); }),
            "t.csv: has bytes of zero; is it a CSV file in UTF-8?");
  EXPECT_EQ(error_of([] { csv_number({7, {"1.5x"}}, 0, "t.csv"); }), "t.csv: line 7: '1.5x' is not a number");
}

TEST(CsvTest, FieldsSurviveWritingAndReading) {
  for (const std::string text : {"plain", "a,b", "a\"b", "a\r\nb", ""}) {
    const std::string line = csv_field(text) + ",end\n";
    EXPECT_EQ(parse_csv_rows(line, "t")[0].fields[0], text);
  }
}

TEST(CsvTest, AnyBytesAreRowsOrAnError) {
  constexpr std::string_view kLetters = "a,\"\r\n1";
  RandomStream random(8, Purpose::test);
  for (int trial = 0; trial < 5000; ++trial) {
    std::string text;
    for (uint64_t i = random.below(30); i > 0; --i) text += kLetters[random.below(kLetters.size())];
    ASSERT_TRUE(survives([&] { table(text); }));
  }
}

}  // namespace
}  // namespace mt
