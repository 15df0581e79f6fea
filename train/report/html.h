#pragma once
// Small pieces of HTML. What is called `html` goes in as it is; everything else is text and gets escaped.

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "wsi/image.h"

namespace mt::train {

/// Text that may stand between tags and in quoted attributes; control characters become spaces.
std::string escape_html(std::string_view text);

/// "0.889"; three decimals; a dash for NaN.
std::string three_decimals(double value);
/// "12,345"
std::string grouped_number(int64_t value);
/// "41 %", "0.4 %"
std::string percent_text(double share);
/// A grey "not measured" with the reason.
std::string not_measured(std::string_view reason);
/// A small coloured label; kind is a CSS class: good, bad, plain.
std::string pill(std::string_view kind, std::string_view text);
/// Something to unfold.
std::string details(std::string_view summary, const std::string& html, bool open = false);

/// A table in a frame that scrolls sideways on narrow screens. The first cell of a row is its heading.
class HtmlTable {
 public:
  HtmlTable(std::vector<std::string> header_html, std::string_view css_class = "");
  void add_row(const std::vector<std::string>& cells_html, std::string_view css_class = "");
  /// A heading over the rows that follow.
  void add_group(std::string_view text);
  std::string str() const;

 private:
  std::size_t columns_;
  std::string html_;
};

/// "data:image/jpeg;base64,…"
std::string jpeg_data_uri(const wsi::RgbImage& image, int quality);

/// RFC 4648 with padding.
std::string base64(std::string_view bytes);

/// Room for the pictures of the page.
class ByteBudget {
 public:
  explicit ByteBudget(std::size_t bytes) : left_(bytes) {}
  /// Takes the room of `html`, or says false and counts it as left out.
  bool take(const std::string& html);
  /// Counts pictures that were not even made.
  void leave_out(std::size_t pictures) { left_out_ += pictures; }
  std::size_t left() const { return left_; }
  std::size_t left_out() const { return left_out_; }

 private:
  std::size_t left_;
  std::size_t left_out_ = 0;
};

}  // namespace mt::train
