#include "train/report/html.h"

#include <cmath>

#include <fmt/format.h>

#include "tensor/check.h"
#include "wsi/png.h"

namespace mt::train {

std::string escape_html(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? ' ' : c;
    }
  }
  return out;
}

std::string three_decimals(double value) {
  return std::isnan(value) ? "–" : fmt::format("{:.3f}", value);
}

std::string grouped_number(int64_t value) {
  std::string text = std::to_string(value);
  const std::size_t first = value < 0 ? 1 : 0;
  for (std::size_t at = text.size(); at > first + 3;) {
    at -= 3;
    text.insert(at, ",");
  }
  return text;
}

std::string percent_text(double share) {
  const double percent = share * 100;
  return percent != 0 && percent < 9.95 ? fmt::format("{:.1f} %", percent) : fmt::format("{:.0f} %", percent);
}

std::string not_measured(std::string_view reason) {
  std::string html = "<span class=\"none\">not measured";
  if (!reason.empty()) html += ": " + escape_html(reason);
  return html + "</span>";
}

std::string pill(std::string_view kind, std::string_view text) {
  return fmt::format("<span class=\"pill {}\">{}</span>", kind, escape_html(text));
}

std::string details(std::string_view summary, const std::string& html, bool open) {
  return fmt::format("<details{}><summary>{}</summary>\n{}</details>\n", open ? " open" : "",
                     escape_html(summary), html);
}

HtmlTable::HtmlTable(std::vector<std::string> header_html, std::string_view css_class)
    : columns_(header_html.size()),
      html_(fmt::format("<div class=\"scroll\"><table class=\"{}\">\n<thead><tr>", css_class)) {
  for (const std::string& cell : header_html) html_ += "<th scope=\"col\">" + cell + "</th>";
  html_ += "</tr></thead>\n<tbody>\n";
}

void HtmlTable::add_row(const std::vector<std::string>& cells_html, std::string_view css_class) {
  check(cells_html.size() == columns_, "report: a row of {} cells in a table of {} columns",
        cells_html.size(), columns_);
  html_ += css_class.empty() ? "<tr>" : fmt::format("<tr class=\"{}\">", css_class);
  for (std::size_t c = 0; c < cells_html.size(); ++c) {
    html_ += c == 0 ? "<th scope=\"row\">" + cells_html[c] + "</th>" : "<td>" + cells_html[c] + "</td>";
  }
  html_ += "</tr>\n";
}

void HtmlTable::add_group(std::string_view text) {
  html_ += fmt::format("<tr class=\"group\"><th colspan=\"{}\" scope=\"colgroup\">{}</th></tr>\n", columns_,
                       escape_html(text));
}

std::string HtmlTable::str() const {
  return html_ + "</tbody></table></div>\n";
}

std::string base64(std::string_view bytes) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  const auto byte = [&](std::size_t i) -> uint32_t {
    return i < bytes.size() ? static_cast<unsigned char>(bytes[i]) : 0;
  };
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const uint32_t word = byte(i) << 16 | byte(i + 1) << 8 | byte(i + 2);
    out += kDigits[word >> 18 & 63];
    out += kDigits[word >> 12 & 63];
    out += i + 1 < bytes.size() ? kDigits[word >> 6 & 63] : '=';
    out += i + 2 < bytes.size() ? kDigits[word & 63] : '=';
  }
  return out;
}

std::string jpeg_data_uri(const wsi::RgbImage& image, int quality) {
  return "data:image/jpeg;base64," + base64(wsi::encode_jpeg(image, quality));
}

bool ByteBudget::take(const std::string& html) {
  if (html.size() > left_) {
    ++left_out_;
    return false;
  }
  left_ -= html.size();
  return true;
}

}  // namespace mt::train
