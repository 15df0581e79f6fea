#include "tensor/io/csv.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "tensor/check.h"
#include "tensor/io/input_file.h"
#include "tensor/text.h"

namespace mt {
namespace {

constexpr std::string_view kBom = "\xEF\xBB\xBF";
// A table in memory is many times its file; what asks for more than this is no table that anybody made.
constexpr std::size_t kMostFieldsOfARow = std::size_t{1} << 20;
constexpr std::size_t kMostTableBytes = std::size_t{256} << 20;

/// What the first line has most of outside of quotes; a comma where it has none.
char separator_of(std::string_view text) {
  constexpr std::array kSeparators{',', ';', '\t'};
  std::array<std::size_t, 3> counts{};
  bool is_quoted = false;
  for (const char c : text) {
    if (c == '"') is_quoted = !is_quoted;
    if (is_quoted) continue;
    if (c == '\n' || c == '\r') break;
    for (std::size_t i = 0; i < kSeparators.size(); ++i) counts[i] += c == kSeparators[i] ? 1 : 0;
  }
  const auto most = std::max_element(counts.begin(), counts.end()) - counts.begin();
  return kSeparators[static_cast<std::size_t>(most)];
}

void check_text(std::string_view text, const std::string& source) {
  check(!text.starts_with("PK\3\4") && !text.starts_with("\xD0\xCF\x11\xE0"),
        "{}: is a spreadsheet, not a CSV file; save it as \"CSV UTF-8\"", source);
  check(!text.starts_with("\xFF\xFE") && !text.starts_with("\xFE\xFF"),
        "{}: is UTF-16; save it as \"CSV UTF-8\"", source);
  check(text.find('\0') == std::string_view::npos, "{}: has bytes of zero; is it a CSV file in UTF-8?",
        source);
  int64_t line = 1;
  for (std::size_t i = 0; i < text.size();) {
    if (static_cast<unsigned char>(text[i]) < 0x80) {
      const bool ends_line = text[i] == '\n' || (text[i] == '\r' && !text.substr(i + 1).starts_with('\n'));
      line += ends_line ? 1 : 0;
      ++i;
      continue;
    }
    const std::size_t length = utf8_length(text.substr(i));
    check(length != 0, "{}: line {}: is not UTF-8 (byte 0x{:02x}, as in Latin-1); save it as \"CSV UTF-8\"",
          source, line, static_cast<unsigned char>(text[i]));
    i += length;
  }
}

/// Spaces, tabs and no-break spaces at both ends.
std::string_view without_blanks(std::string_view text) {
  constexpr std::string_view kNoBreak = "\xC2\xA0";
  for (bool found = true; found;) {
    found = true;
    if (text.starts_with(' ') || text.starts_with('\t')) {
      text.remove_prefix(1);
    } else if (text.starts_with(kNoBreak)) {
      text.remove_prefix(2);
    } else if (text.ends_with(' ') || text.ends_with('\t')) {
      text.remove_suffix(1);
    } else if (text.ends_with(kNoBreak)) {
      text.remove_suffix(2);
    } else {
      found = false;
    }
  }
  return text;
}

bool is_empty(const CsvRow& row) {
  return std::all_of(row.fields.begin(), row.fields.end(), [](const auto& field) { return field.empty(); });
}

/// A column's name as it is compared.
std::string folded(std::string_view name) {
  std::string result;
  for (const char c : name) {
    if (c == ' ' || c == '_' || c == '-' || c == '#') continue;
    result += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  return result;
}

}  // namespace

CsvReader::CsvReader(std::string_view text, std::string source) : text_(text), source_(std::move(source)) {
  if (text_.starts_with(kBom)) text_.remove_prefix(kBom.size());
  check_text(text_, source_);
  if (text_.starts_with("sep=") && text_.size() > 4 &&
      std::string_view(",;\t").find(text_[4]) != std::string_view::npos) {
    separator_ = text_[4];
    at_ = 5;
    end_line();
    return;
  }
  while (at_ < text_.size() && (text_[at_] == '\n' || text_[at_] == '\r')) end_line();
  separator_ = separator_of(text_.substr(at_));
}

void CsvReader::end_line() {
  if (at_ < text_.size() && text_[at_] == '\r') ++at_;
  if (at_ < text_.size() && text_[at_] == '\n') ++at_;
  ++line_;
}

void CsvReader::skip_blanks() {
  while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t') && text_[at_] != separator_) ++at_;
}

bool CsvReader::next(CsvRow& row) {
  while (at_ < text_.size()) {
    read_row(row);
    if (is_empty(row)) continue;
    const std::string& first = row.fields.front();
    const bool is_comment =
        !is_begun_ && (first.starts_with("# ") || (row.fields.size() == 1 && first.starts_with('#')));
    if (is_comment) {
      separator_ = separator_of(text_.substr(at_));
      continue;
    }
    is_begun_ = true;
    return true;
  }
  return false;
}

void CsvReader::read_row(CsvRow& row) {
  row.line = line_;
  std::size_t fields = 0;
  while (true) {
    check(fields < kMostFieldsOfARow, "{}: line {}: has more than {} fields", source_, row.line,
          kMostFieldsOfARow);
    if (row.fields.size() == fields) row.fields.emplace_back();
    std::string& field = row.fields[fields++];
    skip_blanks();
    if (at_ < text_.size() && text_[at_] == '"') {
      quoted_field(field);
    } else {
      plain_field(field);
    }
    if (at_ < text_.size() && text_[at_] == separator_) {
      ++at_;
      continue;
    }
    end_line();
    row.fields.resize(fields);
    return;
  }
}

void CsvReader::plain_field(std::string& field) {
  const std::array<char, 3> stops{separator_, '\r', '\n'};
  const std::size_t end =
      std::min(text_.find_first_of(std::string_view(stops.data(), stops.size()), at_), text_.size());
  field = without_blanks(text_.substr(at_, end - at_));
  at_ = end;
}

void CsvReader::quoted_field(std::string& field) {
  const int64_t opened = line_;
  field.clear();
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
  skip_blanks();
  check(at_ >= text_.size() || text_[at_] == separator_ || text_[at_] == '\r' || text_[at_] == '\n',
        "{}: line {}: text after the closing quote of a field", source_, line_);
  field = std::string(without_blanks(field));
}

std::vector<CsvRow> parse_csv_rows(std::string_view text, const std::string& source) {
  CsvReader reader(text, source);
  std::vector<CsvRow> rows;
  std::size_t bytes = 0;
  for (CsvRow row; reader.next(row);) {
    bytes += sizeof(CsvRow) + row.fields.size() * sizeof(std::string);
    for (const std::string& field : row.fields) bytes += field.size();
    check(bytes <= kMostTableBytes, "{}: line {}: is larger than any table that is read here", source,
          row.line);
    rows.push_back(row);
  }
  return rows;
}

std::vector<CsvRow> read_csv_rows(const std::string& path) {
  return parse_csv_rows(read_file(path), path);
}

CsvTable::CsvTable(std::vector<CsvRow> rows, std::string source)
    : source_(std::move(source)), rows_(std::move(rows)) {
  check(!rows_.empty(), "{}: is empty; a header line is needed", source_);
  header_ = std::move(rows_.front().fields);
  rows_.erase(rows_.begin());
  const std::size_t columns = header_.size();
  check(rows_.size() <= kMostTableBytes / sizeof(std::string) / columns,
        "{}: {} rows of {} columns are more than any table that is read here", source_, rows_.size(),
        columns);
  for (CsvRow& row : rows_) {
    while (row.fields.size() > columns && row.fields.back().empty()) row.fields.pop_back();
    check(row.fields.size() <= columns, "{}: line {}: has {} fields, the header has {}", source_, row.line,
          row.fields.size(), columns);
    row.fields.resize(columns);
  }
  std::vector<bool> is_used(columns);
  for (std::size_t c = 0; c < columns; ++c) is_used[c] = !header_[c].empty();
  for (const CsvRow& row : rows_) {
    for (std::size_t c = 0; c < columns; ++c) is_used[c] = is_used[c] || !row.fields[c].empty();
  }
  const auto keep_used = [&](std::vector<std::string>& fields) {
    std::size_t kept = 0;
    for (std::size_t c = 0; c < columns; ++c) {
      if (!is_used[c]) continue;
      if (kept != c) fields[kept] = std::move(fields[c]);
      ++kept;
    }
    fields.resize(kept);
  };
  keep_used(header_);
  for (CsvRow& row : rows_) keep_used(row.fields);
}

std::optional<std::size_t> CsvTable::find_column(std::string_view name) const {
  const std::string wanted = folded(name);
  std::optional<std::size_t> found;
  for (std::size_t c = 0; c < header_.size(); ++c) {
    if (folded(header_[c]) != wanted) continue;
    check(!found, "{}: the column '{}' is there twice", source_, name);
    found = c;
  }
  return found;
}

std::optional<std::size_t> CsvTable::find_column(std::initializer_list<std::string_view> names) const {
  for (const std::string_view name : names) {
    if (const auto found = find_column(name)) return found;
  }
  return std::nullopt;
}

std::size_t CsvTable::column(std::string_view name) const {
  return column({name});
}

std::size_t CsvTable::column(std::initializer_list<std::string_view> names) const {
  if (const auto found = find_column(names)) return *found;
  std::string known;
  for (const std::string& column : header_) known += (known.empty() ? "" : ", ") + printable(column, 80);
  fail("{}: has no column '{}'; it has: {}", source_, *names.begin(), known);
}

std::string CsvTable::place(const CsvRow& row) const {
  return fmt::format("{}, line {}", source_, row.line);
}

CsvTable read_csv(const std::string& path) {
  return CsvTable(read_csv_rows(path), path);
}

std::string csv_field(std::string_view text) {
  if (text.find_first_of(",;\t\"\r\n") == std::string_view::npos) return std::string(text);
  std::string field = "\"";
  for (const char c : text) field += c == '"' ? std::string("\"\"") : std::string(1, c);
  return field + '"';
}

std::optional<double> number_in(std::string_view text) {
  std::string digits(text);
  if (digits.find('.') == std::string::npos && std::count(digits.begin(), digits.end(), ',') == 1)
    std::replace(digits.begin(), digits.end(), ',', '.');
  double value = 0;
  const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  const bool is_number = code == std::errc() && end == digits.data() + digits.size() && !digits.empty();
  if (!is_number || !std::isfinite(value)) return std::nullopt;
  return value;
}

double csv_number(const CsvRow& row, std::size_t column, const std::string& source) {
  check(column < row.fields.size(), "{}: line {}: has only {} fields", source, row.line, row.fields.size());
  const std::optional<double> value = number_in(row.fields[column]);
  check(value.has_value(), "{}: line {}: '{}' is not a number", source, row.line,
        printable(row.fields[column], 80));
  return *value;
}

}  // namespace mt
