#include "kernels/ptx/lexer.h"

#include <algorithm>
#include <cctype>
#include <charconv>

#include "tensor/check.h"

namespace mt::ptx {
namespace {

bool starts_name(char c) {
  return std::isalpha(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '$' || c == '%' || c == '.';
}
bool continues_name(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '$' || c == '.';
}
bool is_digit(char c) {
  return std::isdigit(static_cast<unsigned char>(c)) != 0;
}

}  // namespace

void Lexer::skip_blank() {
  while (at_ < text_.size()) {
    if (std::isspace(static_cast<unsigned char>(text_[at_])) != 0) {
      ++at_;
    } else if (text_.substr(at_, 2) == "//") {
      at_ = std::min(text_.find('\n', at_), text_.size());
    } else if (text_.substr(at_, 2) == "/*") {
      const std::size_t end = text_.find("*/", at_ + 2);
      at_ = end == std::string_view::npos ? text_.size() : end + 2;
    } else {
      return;
    }
  }
}

void Lexer::advance() {
  skip_blank();
  start_ = at_;
  if (at_ < text_.size()) {
    const char first = text_[at_++];
    if (starts_name(first)) {
      while (at_ < text_.size() && (continues_name(text_[at_]) || text_.substr(at_, 2) == "::"))
        at_ += text_[at_] == ':' ? 2 : 1;
    } else if (is_digit(first)) {
      while (at_ < text_.size() && continues_name(text_[at_])) ++at_;
    } else if (first == '"') {
      at_ = std::min(text_.find('"', at_), text_.size() - 1) + 1;
    }
  }
  token_ = text_.substr(start_, at_ - start_);
}

std::string_view Lexer::next() {
  const std::string_view token = token_;
  taken_ = at_;
  advance();
  return token;
}

bool Lexer::take(std::string_view word) {
  if (token_ != word) return false;
  next();
  return true;
}

void Lexer::expect(std::string_view word) {
  if (!take(word)) fail_here(fmt::format("\"{}\" was expected", word));
}

bool Lexer::at_number() const {
  return !token_.empty() && (is_digit(token_.front()) || token_.front() == '-');
}

uint64_t Lexer::number() {
  const bool negative = take("-");
  std::string_view word = token_;
  int base = 10;
  if (word.size() > 2 && word[0] == '0' &&
      std::string_view("fFdDxX").find(word[1]) != std::string_view::npos) {
    word.remove_prefix(2);
    base = 16;
  }
  while (base == 10 && !word.empty() && (word.back() == 'U' || word.back() == 'u')) word.remove_suffix(1);
  uint64_t bits = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), bits, base);
  if (error != std::errc() || end != word.data() + word.size() || word.empty()) fail_here("no number");
  next();
  return negative ? -bits : bits;
}

int64_t Lexer::integer() {
  return static_cast<int64_t>(number());
}

std::string_view Lexer::skip_block() {
  const std::size_t begin = taken_;
  for (int depth = 1; depth > 0;) {
    if (at_end()) fail_here("a brace is not closed");
    const std::string_view word = next();
    if (word == "{") ++depth;
    if (word == "}") --depth;
  }
  return text_.substr(begin, taken_ - 1 - begin);
}

std::string Lexer::text_since(std::size_t position) const {
  std::string line;
  for (const char c : text_.substr(position, taken_ - position)) {
    const bool blank = std::isspace(static_cast<unsigned char>(c)) != 0;
    if (!blank || (!line.empty() && line.back() != ' ')) line += blank ? ' ' : c;
  }
  return line;
}

void Lexer::fail_here(std::string_view what) const {
  const std::size_t line_end = std::min(text_.find('\n', start_), text_.size());
  const auto line = 1 + std::count(text_.begin(), text_.begin() + static_cast<std::ptrdiff_t>(start_), '\n');
  fail("PTX, line {}: {} at \"{}\"", line, what,
       text_.substr(start_, std::min<std::size_t>(line_end - start_, 120)));
}

}  // namespace mt::ptx
