#pragma once
// Comma-separated values as people have them: RFC 4180 and what spreadsheets make of it. The only reader of
// such files here.
//
// Read: a UTF-8 byte order mark; lines that end in LF, CRLF or CR; ',' ';' or a tab between fields, whichever
// the first line has most of (or Excel's own first line "sep=;" says); blanks round a field, which are taken
// off; quoted fields; rows of empty fields, which are left out; lines before the first row that are one
// comment ("# exported by …").

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mt {

struct CsvRow {
  int64_t line = 0;  // where the row begins in the file, from 1
  std::vector<std::string> fields;
};

/// Gives one row after the other, so that a table of millions of numbers need not be held as text.
class CsvReader {
 public:
  /// `text` must outlive the reader. Throws Error naming `source` for a spreadsheet, UTF-16, bytes of zero,
  /// and, with its line, for text that is not UTF-8.
  CsvReader(std::string_view text, std::string source);

  /// The next row that is not empty, into `row`; false at the end. Throws Error naming source and line.
  bool next(CsvRow& row);
  char separator() const { return separator_; }

 private:
  void read_row(CsvRow& row);
  void plain_field(std::string& field);
  void quoted_field(std::string& field);
  void skip_blanks();
  void end_line();

  std::string_view text_;
  std::string source_;
  std::size_t at_ = 0;
  int64_t line_ = 1;
  char separator_ = ',';
  bool is_begun_ = false;  // a row has been given
};

/// All rows. They may differ in their number of fields. Throws Error for a table of more than 256 MB in
/// memory.
std::vector<CsvRow> parse_csv_rows(std::string_view text, const std::string& source);
std::vector<CsvRow> read_csv_rows(const std::string& path);

/// Rows under a header line. Every row has as many fields as the header: spreadsheets leave out empty fields
/// at the end of a line, or add some, so missing ones are filled up and empty ones beyond are cut off.
/// Columns without a name and without a value are left out.
class CsvTable {
 public:
  /// Throws Error when there is no header, or a row has a value beyond the last column.
  CsvTable(std::vector<CsvRow> rows, std::string source);

  const std::string& source() const { return source_; }
  const std::vector<std::string>& header() const { return header_; }
  const std::vector<CsvRow>& rows() const { return rows_; }
  /// The column called so, whatever its case, blanks, '_', '-' and '#' ("Slide ID" is slide_id). Throws Error
  /// when two are.
  std::optional<std::size_t> find_column(std::string_view name) const;
  /// The first of several names that the table has.
  std::optional<std::size_t> find_column(std::initializer_list<std::string_view> names) const;
  /// Throws Error that lists the columns there are.
  std::size_t column(std::string_view name) const;
  std::size_t column(std::initializer_list<std::string_view> names) const;
  /// "slides.csv, line 7", for messages about a row.
  std::string place(const CsvRow& row) const;

 private:
  std::string source_;
  std::vector<std::string> header_;
  std::vector<CsvRow> rows_;
};

CsvTable read_csv(const std::string& path);

/// A field as it has to stand in a CSV file: quoted where needed.
std::string csv_field(std::string_view text);

/// The whole text as a finite number, with a decimal point or, as half of Europe's spreadsheets write it, a
/// comma.
std::optional<double> number_in(std::string_view text);

/// The whole field as a number; throws Error naming source, line and field.
double csv_number(const CsvRow& row, std::size_t column, const std::string& source);

}  // namespace mt
