#include "train/report/svg_plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "train/report/html.h"

namespace mt::train {
namespace {

// The drawing, in SVG units.
constexpr double kWidth = 460;
constexpr double kHeight = 320;
constexpr double kLeft = 52;
constexpr double kRight = 14;
constexpr double kTop = 12;
constexpr double kBottom = 44;
constexpr std::size_t kMostPoints = 800;

struct Axis {
  double low = 0;
  double high = 1;
  double begin = 0;  // where `low` lies in the drawing
  double end = 1;

  double at(double value) const { return begin + (value - low) / (high - low) * (end - begin); }
};

/// Smallest range that holds all finite values, with a little air around them.
std::pair<double, double> range_of(const Plot& plot, bool of_x) {
  double low = std::numeric_limits<double>::infinity();
  double high = -low;
  const auto add = [&](double value) {
    if (!std::isfinite(value)) return;
    low = std::min(low, value);
    high = std::max(high, value);
  };
  for (const Curve& curve : plot.curves) {
    for (const double value : of_x ? curve.x : curve.y) add(value);
  }
  for (const GuideLine& line : plot.lines) {
    if ((line.kind == GuideLine::Kind::vertical) == of_x) add(line.at);
  }
  if (!(high >= low)) return {0, 1};
  const double air = high > low ? (of_x ? 0 : 0.06 * (high - low)) : std::max(0.5, std::abs(high) * 0.05);
  return {low - air, high + air};
}

struct Point {
  double x;
  double y;
};

/// Points nearer than what an eye resolves are dropped; the last one stays.
std::vector<Point> thinned(const std::vector<Point>& points) {
  for (double step = 0.4;; step *= 2) {
    std::vector<Point> kept;
    for (std::size_t i = 0; i < points.size(); ++i) {
      const bool last = i + 1 == points.size();
      if (kept.empty() || last || std::abs(points[i].x - kept.back().x) >= step ||
          std::abs(points[i].y - kept.back().y) >= step)
        kept.push_back(points[i]);
    }
    if (kept.size() <= kMostPoints) return kept;
  }
}

std::string piece(const std::vector<Point>& points, const Curve& curve) {
  const std::vector<Point> kept = curve.line ? thinned(points) : points;
  std::string html;
  if (curve.line && kept.size() > 1) {
    html += "<polyline points=\"";
    for (const Point& point : kept) html += fmt::format("{:.1f},{:.1f} ", point.x, point.y);
    html.pop_back();
    html += fmt::format("\" fill=\"none\" stroke=\"{}\" stroke-width=\"1.8\" stroke-linejoin=\"round\"{}/>\n",
                        curve.colour, curve.dashed ? " stroke-dasharray=\"6 4\"" : "");
  }
  if (curve.dots || kept.size() == 1) {
    for (const Point& point : kept) {
      html += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\" fill=\"{}\"/>\n", point.x, point.y,
                          curve.colour);
    }
  }
  return html;
}

std::string draw_curve(const Curve& curve, const Axis& x, const Axis& y) {
  std::string html;
  std::vector<Point> run;
  const std::size_t count = std::min(curve.x.size(), curve.y.size());
  for (std::size_t i = 0; i <= count; ++i) {
    if (i < count && std::isfinite(curve.x[i]) && std::isfinite(curve.y[i])) {
      run.push_back({x.at(curve.x[i]), y.at(curve.y[i])});
    } else if (!run.empty()) {
      html += piece(run, curve);
      run.clear();
    }
  }
  if (html.empty()) return html;
  return fmt::format("<g><title>{}</title>{}</g>\n", escape_html(curve.label), html);
}

std::string text(double x, double y, std::string_view anchor, std::string_view content,
                 std::string_view more = "") {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\"{}>{}</text>\n", x, y, anchor, more,
                     escape_html(content));
}

std::string line(double x0, double y0, double x1, double y1, std::string_view css_class) {
  return fmt::format("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" class=\"{}\"/>\n", x0, y0,
                     x1, y1, css_class);
}

std::string tick_label(double value) {
  if (std::abs(value) < 1e-12) return "0";
  return std::abs(value) >= 1e5 || std::abs(value) < 1e-3 ? fmt::format("{:.2g}", value)
                                                          : fmt::format("{:.6g}", value);
}

std::string draw_axes(const Plot& plot, const Axis& x, const Axis& y) {
  std::string html;
  for (const double tick : nice_ticks(x.low, x.high, 6, plot.whole_x ? 1 : 0)) {
    html += line(x.at(tick), y.end, x.at(tick), y.begin, "grid");
    html += text(x.at(tick), y.begin + 17, "middle", tick_label(tick));
  }
  for (const double tick : nice_ticks(y.low, y.high, 5, plot.whole_y ? 1 : 0)) {
    html += line(x.begin, y.at(tick), x.end, y.at(tick), "grid");
    html += text(x.begin - 7, y.at(tick) + 4, "end", tick_label(plot.whole_y ? std::abs(tick) : tick));
  }
  html += line(x.begin, y.begin, x.end, y.begin, "axis");
  html += line(x.begin, y.begin, x.begin, y.end, "axis");
  html += text((x.begin + x.end) / 2, kHeight - 8, "middle", plot.x_label);
  html += text(0, 0, "middle", plot.y_label,
               fmt::format(" transform=\"translate(13 {:.0f}) rotate(-90)\"", (y.begin + y.end) / 2));
  return html;
}

std::string draw_guides(const Plot& plot, const Axis& x, const Axis& y) {
  std::string html;
  if (plot.diagonal) html += line(x.at(0), y.at(0), x.at(1), y.at(1), "guide");
  for (const GuideLine& guide : plot.lines) {
    if (guide.kind == GuideLine::Kind::horizontal) {
      html += line(x.begin, y.at(guide.at), x.end, y.at(guide.at), "guide");
      // Below the line where it lies too high for a word above it.
      const double above = y.at(guide.at) - y.end < 18 ? 14 : -5;
      if (!guide.label.empty()) html += text(x.end - 3, y.at(guide.at) + above, "end", guide.label);
    } else {
      html += line(x.at(guide.at), y.begin, x.at(guide.at), y.end, "guide");
      const bool left =
          x.end - x.at(guide.at) < 7.0 * static_cast<double>(guide.label.size());  // no room to its right
      if (!guide.label.empty())
        html += text(x.at(guide.at) + (left ? -4 : 4), y.end + 11, left ? "end" : "start", guide.label);
    }
  }
  return html;
}

std::string legend(const Plot& plot) {
  std::string items;
  for (const Curve& curve : plot.curves) {
    if (curve.label.empty()) continue;
    if (!curve.line) {
      items += fmt::format(
          "<span class=\"key\"><svg width=\"10\" height=\"10\" aria-hidden=\"true\"><circle cx=\"5\" "
          "cy=\"5\" r=\"4\" fill=\"{}\"/></svg> {}</span>\n",
          curve.colour, escape_html(curve.label));
      continue;
    }
    items += fmt::format(
        "<span class=\"key\"><svg width=\"26\" height=\"10\" aria-hidden=\"true\"><line x1=\"1\" y1=\"5\" "
        "x2=\"25\" y2=\"5\" stroke=\"{}\" stroke-width=\"2.4\"{}/></svg> {}</span>\n",
        curve.colour, curve.dashed ? " stroke-dasharray=\"6 4\"" : "", escape_html(curve.label));
  }
  return items.empty() ? items : "<div class=\"legend\">" + items + "</div>\n";
}

}  // namespace

std::vector<double> nice_ticks(double low, double high, int count, double least_step) {
  const double rough = (high - low) / count;
  const double power = std::pow(10.0, std::floor(std::log10(rough)));
  double step = 10 * power;
  for (const double factor : {1.0, 2.0, 2.5, 5.0}) {
    if (factor * power >= rough * 0.999) {
      step = factor * power;
      break;
    }
  }
  step = std::max(step, least_step);
  std::vector<double> ticks;
  for (double i = std::ceil(low / step - 1e-9); i * step <= high + step * 1e-9; ++i)
    ticks.push_back(i * step);
  return ticks;
}

Curve binned_mean(Curve curve, std::size_t bins) {
  const std::size_t count = std::min(curve.x.size(), curve.y.size());
  if (count <= bins) return curve;
  Curve result = curve;
  result.x.clear();
  result.y.clear();
  for (std::size_t b = 0; b < bins; ++b) {
    double x = 0;
    double y = 0;
    const std::size_t begin = b * count / bins;
    const std::size_t end = (b + 1) * count / bins;
    for (std::size_t i = begin; i < end; ++i) {
      x += curve.x[i];
      y += curve.y[i];
    }
    result.x.push_back(x / static_cast<double>(end - begin));
    result.y.push_back(y / static_cast<double>(end - begin));
  }
  return result;
}

std::string draw_plot(const Plot& plot) {
  const auto [x_low, x_high] = plot.x_range.value_or(range_of(plot, true));
  const auto [y_low, y_high] = plot.y_range.value_or(range_of(plot, false));
  const Axis x{x_low, x_high, kLeft, kWidth - kRight};
  const Axis y{y_low, y_high, kHeight - kBottom, kTop};
  std::string curves;
  for (const Curve& curve : plot.curves) curves += draw_curve(curve, x, y);
  std::string html = "<figure class=\"plot\">\n<figcaption>" + escape_html(plot.title) + "</figcaption>\n";
  if (curves.empty()) return html + "<p>" + not_measured("no values") + "</p></figure>\n";
  html += fmt::format("<svg viewBox=\"0 0 {:.0f} {:.0f}\" role=\"img\" aria-label=\"{}\">\n", kWidth, kHeight,
                      escape_html(plot.title));
  html += draw_axes(plot, x, y) + draw_guides(plot, x, y) + curves;
  return html + "</svg>\n" + legend(plot) + "</figure>\n";
}

}  // namespace mt::train
