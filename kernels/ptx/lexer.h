#pragma once
// Words of PTX text: names with their dots (ld.global.f32, %tid.x), numbers, strings, single signs. Comments
// are skipped.

#include <cstdint>
#include <string>
#include <string_view>

namespace mt::ptx {

class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text) { advance(); }

  bool at_end() const { return token_.empty(); }
  /// The next word; empty at the end.
  std::string_view peek() const { return token_; }
  std::string_view next();
  /// Takes `word` if it comes next.
  bool take(std::string_view word);
  /// Throws Error unless `word` comes next.
  void expect(std::string_view word);
  /// An integer, with its sign.
  int64_t integer();
  /// A number as bits: an integer, 0f (32 bits) or 0d (64 bits).
  uint64_t number();
  bool at_number() const;
  /// Text up to the brace that closes the one just taken, which is taken too.
  std::string_view skip_block();
  /// From the start of the next word; see text_since().
  std::size_t position() const { return start_; }
  /// The source between a position() and the last word taken, on one line.
  std::string text_since(std::size_t position) const;
  [[noreturn]] void fail_here(std::string_view what) const;

 private:
  void advance();
  void skip_blank();

  std::string_view text_;
  std::string_view token_;
  std::size_t start_ = 0;  // of token_
  std::size_t at_ = 0;     // behind token_
  std::size_t taken_ = 0;  // behind the last word taken
};

}  // namespace mt::ptx
