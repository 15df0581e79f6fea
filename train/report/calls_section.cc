// What was called what: the confusion matrix of each variant, and every test slide's score beside its threshold.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "train/report/sections.h"

namespace mt::train {
namespace {

std::string confusion_matrix(const VariantResult& variant, const std::array<std::string, 2>& classes) {
  std::array<std::array<int64_t, 2>, 2> counts{};  // [label][called]
  for (const SlideScore& slide : variant.test_slides)
    ++counts[static_cast<std::size_t>(slide.label)][called_positive(variant, slide) ? 1 : 0];
  HtmlTable table(
      {escape_html(variant.name), "called " + escape_html(classes[0]), "called " + escape_html(classes[1])},
      "confusion");
  for (const std::size_t label : {std::size_t{1}, std::size_t{0}}) {
    std::vector<std::string> cells{"label " + escape_html(classes[label])};
    for (const std::size_t called : {std::size_t{0}, std::size_t{1}})
      cells.push_back(
          fmt::format("<b class=\"{}\">{}</b>", called == label ? "right" : "wrong", counts[label][called]));
    table.add_row(cells);
  }
  return table.str();
}

/// Scores crowd at 0 and 1, so they are drawn by their logit; those that are 0 or 1 to the last bit, at its ends.
double logit(double score) {
  constexpr double kEnd = 16;
  return score <= 0 ? -kEnd : score >= 1 ? kEnd : std::clamp(std::log(score / (1 - score)), -kEnd, kEnd);
}

/// Each slide a dot at its score, one row a class; dots that would cover each other are stacked.
std::string strip_plot(const VariantResult& variant, const std::array<std::string, 2>& classes) {
  constexpr double kDotsAcross = 80;  // that lie side by side without touching
  double low = logit(variant.threshold);
  double high = low;
  for (const SlideScore& slide : variant.test_slides) {
    low = std::min(low, logit(slide.score));
    high = std::max(high, logit(slide.score));
  }
  const double margin = std::max((high - low) / 20, 0.1);
  Plot plot;
  plot.title = variant.name + ": scores of the test slides";
  plot.x_label = "logit of the slide score: 0 is a score of 0.5, 3 of 0.95, -3 of 0.05";
  plot.y_label = "slides";
  plot.x_range = {low - margin, high + margin};
  double highest = 1;
  for (const int label : {0, 1}) {
    Curve dots;
    dots.label = "label " + classes[static_cast<std::size_t>(label)];
    dots.colour = label == 1 ? kVermilion : kBlue;
    dots.dots = true;
    dots.line = false;
    std::map<int64_t, double> stacked;
    for (const SlideScore& slide : variant.test_slides) {
      if (slide.label != label) continue;
      const double x = logit(slide.score);
      double& height = stacked[std::lround((x - low) / (high - low + 2 * margin) * kDotsAcross)];
      height += 1;
      highest = std::max(highest, height);
      dots.x.push_back(x);
      dots.y.push_back(label == 1 ? height : -height);
    }
    plot.curves.push_back(std::move(dots));
  }
  plot.y_range = {-highest - 0.5, highest + 0.5};
  plot.whole_y = true;
  plot.lines.push_back({GuideLine::Kind::vertical, logit(variant.threshold),
                        fmt::format("threshold {:.3f}", variant.threshold)});
  plot.lines.push_back({GuideLine::Kind::horizontal, 0, ""});
  return draw_plot(plot);
}

}  // namespace

std::string calls_section(const RunResult& result) {
  std::string tables;
  for (const VariantResult& variant : result.variants) tables += confusion_matrix(variant, result.classes);
  std::string html =
      "<section id=\"calls\">\n<h2>Calls</h2>\n<div class=\"pair\">\n<div class=\"matrices\">\n" + tables +
      "</div>\n";
  html += strip_plot(headline_variant(result), result.classes);
  return html + fmt::format(
                    "</div>\n<p class=\"hint\">Above the line: slides labelled {}; below it: the others. A "
                    "slide at the threshold or to the right of it is called {}.</p>\n</section>\n",
                    escape_html(result.classes[1]), escape_html(result.classes[1]));
}

}  // namespace mt::train
