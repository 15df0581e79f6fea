#include "tensor/io/csv.h"

#include <gtest/gtest.h>

#include "tensor/rng.h"
#include "tests/harness/error_of.h"

namespace mt {
namespace {

CsvTable table(std::string_view text) {
  return CsvTable(parse_csv_rows(text, "t.csv"), "t.csv");
}

using Fields = std::vector<std::string>;

TEST(CsvTest, ReadsQuotesCrlfAndByteOrderMark) {
  const CsvTable csv =
      table("\xEF\xBB\xBFslide_id,label\r\n\"a, b\",\"say \"\"x\"\"\"\r\n\r\n\"two\nlines\",\r\nlast,1");
  EXPECT_EQ(csv.header(), (Fields{"slide_id", "label"}));
  ASSERT_EQ(csv.rows().size(), 3);
  EXPECT_EQ(csv.rows()[0].fields, (Fields{"a, b", "say \"x\""}));
  EXPECT_EQ(csv.rows()[1].fields, (Fields{"two\nlines", ""}));
  EXPECT_EQ(csv.rows()[2].fields, (Fields{"last", "1"}));
  EXPECT_EQ(csv.rows()[2].line, 6);
  EXPECT_EQ(csv.column("label"), 1);
  EXPECT_FALSE(csv.find_column("split"));
  EXPECT_EQ(csv.place(csv.rows()[2]), "t.csv, line 6");
}

/// The same table as programs and people write it.
TEST(CsvTest, SpreadsheetsOfAllCountriesAreTheSameTable) {
  const std::vector<Fields> want{{"S0", "a/S0.tif", "1"}, {"S1", "a b/S1.tif", "0"}};
  for (const std::string_view text :
       {"slide_id,path,label\nS0,a/S0.tif,1\nS1,a b/S1.tif,0\n",
        "slide_id,path,label\rS0,a/S0.tif,1\rS1,a b/S1.tif,0\r",               // an old Macintosh
        "slide_id;path;label\r\nS0;a/S0.tif;1\r\nS1;a b/S1.tif;0\r\n",         // Excel in German or French
        "sep=;\r\nslide_id;path;label\r\nS0;a/S0.tif;1\r\nS1;a b/S1.tif;0",    // and for all others
        "slide_id\tpath\tlabel\nS0\ta/S0.tif\t1\nS1\ta b/S1.tif\t0\n",         // pasted from a sheet
        " slide_id , path ,\tlabel\n S0 ,a/S0.tif  , 1\n S1,a b/S1.tif,0 \n",  // blanks
        "slide_id,path,label\xC2\xA0\nS0,a/S0.tif,1\nS1\xC2\xA0,a b/S1.tif,0\n",
        "\"slide_id\",\"path\",\"label\"\n\"S0\", \"a/S0.tif\" ,\"1\"\n\"S1 \",\"a b/S1.tif\",\"0\"\n",
        "Slide_ID,PATH,Label\nS0,a/S0.tif,1\nS1,a b/S1.tif,0\n",
        "slide id,Path,label\nS0,a/S0.tif,1\nS1,a b/S1.tif,0\n",
        "#Slide-Id,Path,label\nS0,a/S0.tif,1\nS1,a b/S1.tif,0\n",
        "slide_id,path,label,,\nS0,a/S0.tif,1,,\nS1,a b/S1.tif,0,,\n",     // empty columns
        "slide_id,path,label\nS0,a/S0.tif,1,,\nS1,a b/S1.tif,0\n",         // ragged
        "slide_id,path,label,,note\nS0,a/S0.tif,1,,x\nS1,a b/S1.tif,0\n",  // Excel stops at the last value
        "\n\nslide_id,path,label\n,,\nS0,a/S0.tif,1\n , ,\nS1,a b/S1.tif,0\n,,\n,,,,\n",  // empty rows
        "# exported by LIS; 2024, June\nslide_id,path,label\nS0,a/S0.tif,1\nS1,a b/S1.tif,0\n",
        "# exported by LIS\nslide_id;path;label\nS0;a/S0.tif;1\nS1;a b/S1.tif;0\n"}) {
    SCOPED_TRACE(text);
    const CsvTable csv = table(text);
    ASSERT_EQ(csv.rows().size(), 2U);
    for (std::size_t r = 0; r < 2; ++r) {
      const Fields& fields = csv.rows()[r].fields;
      EXPECT_EQ(
          (Fields{fields[csv.column("slide_id")], fields[csv.column("path")], fields[csv.column("label")]}),
          want[r]);
    }
  }
}

TEST(CsvTest, FieldsMayHoldTheOtherSeparators) {
  const CsvTable csv = table("slide_id;note;mpp\na;\"x; y\";0,25\n");
  EXPECT_EQ(csv.rows()[0].fields, (Fields{"a", "x; y", "0,25"}));
  EXPECT_EQ(csv_number(csv.rows()[0], 2, "t"), 0.25);
  EXPECT_EQ(table("a,b;c;d;e\n").header().size(), 4U);
  EXPECT_EQ(parse_csv_rows("test_001;Tumor\n", "t")[0].fields.size(), 2U);
}

TEST(CsvTest, AnIndexWithoutANameStays) {
  const CsvTable csv = table(",train,val\n0,a,b\n1,c,\n");
  EXPECT_EQ(csv.header().size(), 3U);
  EXPECT_EQ(csv.rows()[1].fields, (Fields{"1", "c", ""}));
}

TEST(CsvTest, OneOfSeveralNames) {
  const CsvTable csv = table("patient_id,slide\np,s\n");
  EXPECT_EQ(csv.find_column({"case_id", "patient_id"}), 0U);
  EXPECT_EQ(csv.column({"slide_id", "slide"}), 1U);
  EXPECT_EQ(error_of([&] {
              (void)csv.column({"path", "file"});
            }),
            "t.csv: has no column 'path'; it has: patient_id, slide");
}

TEST(CsvTest, NumbersAreFiniteAndWhole) {
  EXPECT_EQ(number_in("0.5"), 0.5);
  EXPECT_EQ(number_in("0,5"), 0.5);
  EXPECT_EQ(number_in("-1e3"), -1000);
  for (const char* text : {"", "1.5x", "nan", "inf", "1,2,3", "1,000.5", "0x10", " 1"})
    EXPECT_FALSE(number_in(text)) << text;
}

TEST(CsvTest, ErrorsNameSourceAndLine) {
  EXPECT_EQ(error_of([] { table("a,b\n1,2,3\n"); }), "t.csv: line 2: has 3 fields, the header has 2");
  EXPECT_EQ(error_of([] { table("a\n\"x\n"); }), "t.csv: line 2: a quoted field never ends");
  EXPECT_EQ(error_of([] { table("a\n\"x\"y\n"); }), "t.csv: line 2: text after the closing quote of a field");
  EXPECT_EQ(error_of([] { (void)table("a,A,b\n").column("a"); }), "t.csv: the column 'a' is there twice");
  EXPECT_EQ(table("a,x,x\n").column("a"), 0U);  // columns that nobody reads may be called as they like
  EXPECT_EQ(error_of([] { table(""); }), "t.csv: is empty; a header line is needed");
  EXPECT_EQ(error_of([] { table(" ,\n\n"); }), "t.csv: is empty; a header line is needed");
  EXPECT_EQ(error_of([] { (void)table("a,b\n").column("c"); }), "t.csv: has no column 'c'; it has: a, b");
  EXPECT_EQ(error_of([] { parse_csv_rows(std::string_view("a\0b", 3), "t.csv"); }),
            "t.csv: has bytes of zero; is it a CSV file in UTF-8?");
  EXPECT_EQ(error_of([] { csv_number({7, {"1.5x"}}, 0, "t.csv"); }), "t.csv: line 7: '1.5x' is not a number");
}

TEST(CsvTest, OtherEncodingsAndFormatsAreRefusedWhenRead) {
  EXPECT_EQ(error_of([] { parse_csv_rows("slide_id\r\na\r\nM\xFCller\r\n", "t.csv"); }),
            "t.csv: line 3: is not UTF-8 (byte 0xfc, as in Latin-1); save it as \"CSV UTF-8\"");
  EXPECT_EQ(error_of([] { parse_csv_rows("a\rb\rM\xFCller", "t.csv"); }).substr(0, 14), "t.csv: line 3:");
  EXPECT_EQ(error_of([] {
              parse_csv_rows(std::string_view("\xFF\xFE"
                                              "a\0",
                                              4),
                             "t.csv");
            }),
            "t.csv: is UTF-16; save it as \"CSV UTF-8\"");
  EXPECT_EQ(error_of([] { parse_csv_rows("PK\3\4 and so on", "t.xlsx"); }),
            "t.xlsx: is a spreadsheet, not a CSV file; save it as \"CSV UTF-8\"");
}

/// Small files that would be huge in memory, or take for ever.
TEST(CsvTest, TablesThatNobodyMadeAreRefused) {
  EXPECT_NE(
      error_of([] { parse_csv_rows(std::string(4 << 20, ','), "t.csv"); }).find("more than 1048576 fields"),
      std::string::npos);
  std::string rows = "a\n";
  while (rows.size() < 16 << 20) rows += rows;
  EXPECT_NE(error_of([&] { parse_csv_rows(rows, "t.csv"); }).find("is larger than any table"),
            std::string::npos);
  std::string padded = std::string(500000, ',') + "x\n";
  for (int row = 0; row < 1000; ++row) padded += "y\n";
  EXPECT_NE(error_of([&] { table(padded); }).find("1000 rows of 500001 columns"), std::string::npos);
  std::string wide = "x" + std::string(20000, ',') + "\n";  // 20,000 empty columns
  for (int row = 0; row < 100; ++row) wide += "y" + std::string(20000, ',') + "\n";
  EXPECT_EQ(table(wide).header().size(), 1U);
}

TEST(CsvTest, FieldsSurviveWritingAndReading) {
  for (const std::string text : {"plain", "a,b", "a;b", "a\tb", "a\"b", "a\r\nb", "Müller", ""}) {
    const std::string line = "first,second\n" + csv_field(text) + ",end\n";
    EXPECT_EQ(parse_csv_rows(line, "t")[1].fields[0], text);
  }
}

TEST(CsvTest, AnyBytesAreRowsOrAnError) {
  constexpr std::string_view kLetters = "a,;\t\"\r\n1 #";
  RandomStream random(8, Purpose::test);
  for (int trial = 0; trial < 5000; ++trial) {
    std::string text;
    for (uint64_t i = random.below(30); i > 0; --i) text += kLetters[random.below(kLetters.size())];
    ASSERT_TRUE(survives([&] { table(text); }));
  }
}

}  // namespace
}  // namespace mt
