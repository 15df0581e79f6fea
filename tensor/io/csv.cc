#include "tensor/io/csv.h"

#include <algorithm>
#include <charconv>

#include "tensor/check.h"
#include "tensor/io/input_file.h"

namespace mt {
namespace {

// Walks over the text once; one row at a time.
class CsvParser {
 public:
  CsvParser(std::string_view text, const std::string& source) : text_(text), source_(source) {
    if (text_.starts_with("\xEF\xBB\xBF")) text_.remove_prefix(3);
    check(text_.find('\0') == std::string_view::npos, "{}: has bytes of zero; is it a CSV file in UTF-8?",
          source_);
  }

  std::vector<CsvRow> rows() {
    std::vector<CsvRow> rows;
    while (at_ < text_.size()) {
      CsvRow row = next_row();
      const bool blank = row.fields.size() == 1 && row.fields.front().empty();
      if (!blank) rows.push_back(std::move(row));
    }
    return rows;
  }

 private:
  CsvRow next_row() {
    CsvRow row;
    row.line = line_;
    while (true) {
      row.fields.push_back(at_ < text_.size() && text_[at_] == '"' ? quoted_field() : plain_field());
      if (at_ < text_.size() && text_[at_] == ',') {
        ++at_;
        continue;
      }
      if (at_ < text_.size() && text_[at_] == '\r') ++at_;
      if (at_ < text_.size() && text_[at_] == '\n') ++at_;
      ++line_;
      return row;
    }
  }

  std::string plain_field() {
    const std::size_t end = std::min(text_.find_first_of(",\r\n", at_), text_.size());
    std::string field(text_.substr(at_, end - at_));
    at_ = end;
    return field;
  }

  std::string quoted_field() {
    const int64_t opened = line_;
    std::string field;
    ++at_;
    while (true) {
      const std::size_t quote = text_.find('"', at_);
      check(quote != std::string_view::npos, "{}: line {}: a quoted field never ends", source_, opened);
      const std::string_view part = text_.substr(at_, quote - at_);
      field += part;
      line_ += std::count(part.begin(), part.end(), '\n');
      at_ = quote + 1;
      if (at_ >= text_.size() || text_[at_] != '"') break;
      field += '"';
      ++at_;
    }
    check(at_ >= text_.size() || text_[at_] == ',' || text_[at_] == '\r' || text_[at_] == '\n',
          "{}: line {}: text after the closing quote of a field", source_, line_);
    return field;
  }

  std::string_view text_;
  const std::string& source_;
  std::size_t at_ = 0;
  int64_t line_ = 1;
};

}  // namespace

std::vector<CsvRow> parse_csv_rows(std::string_view text, const std::string& source) {
  return CsvParser(text, source).rows();
}

std::vector<CsvRow> read_csv_rows(const std::string& path) {
  return parse_csv_rows(read_file(path), path);
}

CsvTable::CsvTable(std::vector<CsvRow> rows, std::string source)
    : source_(std::move(source)), rows_(std::move(rows)) {
  check(!rows_.empty(), "{}: is empty; a header line is needed", source_);
  header_ = std::move(rows_.front().fields);
  rows_.erase(rows_.begin());
  std::vector<std::string> sorted = header_;
  std::sort(sorted.begin(), sorted.end());
  const auto twice = std::adjacent_find(sorted.begin(), sorted.end());
  check(twice == sorted.end(), "{}: the column '{}' is there twice", source_,
        twice == sorted.end() ? "" : *twice);
  for (const CsvRow& row : rows_) {
    check(row.fields.size() == header_.size(), "{}: line {}: has {} fields, the header has {}", source_,
          row.line, row.fields.size(), header_.size());
  }
}

std::optional<std::size_t> CsvTable::find_column(std::string_view name) const {
  const auto found = std::find(header_.begin(), header_.end(), name);
  if (found == header_.end()) return std::nullopt;
  return static_cast<std::size_t>(found - header_.begin());
}

std::size_t CsvTable::column(std::string_view name) const {
  if (const auto found = find_column(name)) return *found;
  std::string known;
  for (const std::string& column : header_) known += (known.empty() ? "" : ", ") + column;
  fail("{}: has no column '{}'; it has: {}", source_, name, known);
}

CsvTable read_csv(const std::string& path) {
  return CsvTable(read_csv_rows(path), path);
}

std::string csv_field(std::string_view text) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos) return std::string(text);
  std::string field = "\"";
  for (const char c : text) field += c == '"' ? std::string("\"\"") : std::string(1, c);
  return field + '"';
}

double csv_number(const CsvRow& row, std::size_t column, const std::string& source) {
  check(column < row.fields.size(), "{}: line {}: has only {} fields", source, row.line, row.fields.size());
  const std::string& field = row.fields[column];
  double value = 0;
  const auto [end, code] = std::from_chars(field.data(), field.data() + field.size(), value);
  check(code == std::errc() && end == field.data() + field.size() && !field.empty(),
        "{}: line {}: '{}' is not a number", source, row.line, field);
  return value;
}

}  // namespace mt
