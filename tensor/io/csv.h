#pragma once
// Comma-separated values as RFC 4180 has them: quotes, CRLF or LF, an optional UTF-8 byte order mark.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mt {

struct CsvRow {
  int64_t line = 0;  // where the row begins in the file, from 1
  std::vector<std::string> fields;
};

/// All rows; blank lines are left out. Rows may differ in their number of fields. Errors name source and
/// line.
std::vector<CsvRow> parse_csv_rows(std::string_view text, const std::string& source);
std::vector<CsvRow> read_csv_rows(const std::string& path);

/// Rows under a header line. Every row has as many fields as the header.
class CsvTable {
 public:
  /// Throws Error when there is no header, a column is named twice, or a row has another number of fields.
  CsvTable(std::vector<CsvRow> rows, std::string source);

  const std::string& source() const { return source_; }
  const std::vector<std::string>& header() const { return header_; }
  const std::vector<CsvRow>& rows() const { return rows_; }
  std::optional<std::size_t> find_column(std::string_view name) const;
  /// Throws Error that lists the columns there are.
  std::size_t column(std::string_view name) const;

 private:
  std::string source_;
  std::vector<std::string> header_;
  std::vector<CsvRow> rows_;
};

CsvTable read_csv(const std::string& path);

/// A field as it has to stand in a CSV file: quoted where needed.
std::string csv_field(std::string_view text);

/// The whole field as a number; throws Error naming source, line and field.
double csv_number(const CsvRow& row, std::size_t column, const std::string& source);

}  // namespace mt
