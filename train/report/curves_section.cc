#include <fmt/format.h>

#include "train/figures/metrics.h"
#include "train/report/sections.h"

namespace mt::train {
namespace {

struct Scored {
  std::vector<int> labels;
  std::vector<double> scores;
};

Scored slides_of(const VariantResult& variant) {
  Scored scored;
  for (const SlideScore& slide : variant.test_slides) {
    scored.labels.push_back(slide.label);
    scored.scores.push_back(slide.score);
  }
  return scored;
}

Scored instances_of(const VariantResult& variant) {
  return {variant.instance_labels, variant.instance_scores};
}

Plot square_plot(const std::string& title, const char* x_label, const char* y_label) {
  Plot plot;
  plot.title = title;
  plot.x_label = x_label;
  plot.y_label = y_label;
  plot.x_range = plot.y_range = {0.0, 1.0};
  return plot;
}

template <typename Select>
std::string roc_plot(const RunResult& result, const std::string& title, const Select& select,
                     const std::vector<Curve>& points = {}) {
  Plot plot = square_plot(title, "false positive rate", "true positive rate");
  plot.diagonal = true;
  for (const VariantResult& variant : result.variants) {
    const Scored scored = select(variant);
    const auto curve = roc_curve(scored.labels, scored.scores);
    if (!curve) continue;
    Curve drawn = variant_curve(variant);
    drawn.label = fmt::format("{}: AUC {:.3f}", variant.name, auc(scored.labels, scored.scores).value());
    drawn.x = curve->false_positive_rate;
    drawn.y = curve->true_positive_rate;
    plot.curves.push_back(std::move(drawn));
  }
  plot.curves.insert(plot.curves.end(), points.begin(), points.end());
  return draw_plot(plot);
}

/// Where the calls of each variant lie on its curve.
Curve operating_point(const VariantResult& variant) {
  std::array<int64_t, 2> slides{};
  std::array<int64_t, 2> called{};
  for (const SlideScore& slide : variant.test_slides) {
    ++slides[static_cast<std::size_t>(slide.label)];
    if (called_positive(variant, slide)) ++called[static_cast<std::size_t>(slide.label)];
  }
  Curve point = variant_curve(variant);
  point.label.clear();
  point.line = false;
  point.dots = true;
  if (slides[0] == 0 || slides[1] == 0) return point;
  point.x = {static_cast<double>(called[0]) / static_cast<double>(slides[0])};
  point.y = {static_cast<double>(called[1]) / static_cast<double>(slides[1])};
  return point;
}

template <typename Select>
std::string precision_recall_plot(const RunResult& result, const std::string& title, const Select& select) {
  Plot plot = square_plot(title, "recall", "precision");
  for (const VariantResult& variant : result.variants) {
    const Scored scored = select(variant);
    const auto curve = precision_recall_curve(scored.labels, scored.scores);
    if (!curve) continue;
    if (plot.lines.empty()) {
      int64_t positives = 0;
      for (const int label : scored.labels) positives += label;
      plot.lines.push_back({GuideLine::Kind::horizontal,
                            static_cast<double>(positives) / static_cast<double>(scored.labels.size()), ""});
    }
    Curve drawn = variant_curve(variant);
    drawn.label = fmt::format("{}: average precision {:.3f}", variant.name,
                              average_precision(scored.labels, scored.scores).value());
    // Steps, whose area is the average precision: each precision holds from its recall down to the next. The last point (precision 1 at
    // recall 0) is a convention without a threshold.
    for (std::size_t i = 0; i + 1 < curve->recall.size(); ++i) {
      drawn.x.insert(drawn.x.end(), {curve->recall[i], curve->recall[i + 1]});
      drawn.y.insert(drawn.y.end(), {curve->precision[i], curve->precision[i]});
    }
    plot.curves.push_back(std::move(drawn));
  }
  return draw_plot(plot);
}

}  // namespace

Curve variant_curve(const VariantResult& variant) {
  Curve curve;
  curve.label = variant.name;
  switch (variant.method) {
    case Method::mil:
      curve.colour = kBlue;
      break;
    case Method::its2clr:
      curve.colour = kVermilion;
      break;
    case Method::hnm:
      curve.colour = kGreen;
      break;
    case Method::random:
      curve.colour = kPurple;
      break;
    case Method::unmined:
      curve.colour = kGrey;
      break;
  }
  curve.dashed = !variant.ranking;
  return curve;
}

std::string curves_section(const RunResult& result) {
  std::string html =
      "<section id=\"curves\">\n<h2>ROC and precision-recall curves</h2>\n<div class=\"plots\">\n";
  std::vector<Curve> points;
  for (const VariantResult& variant : result.variants) points.push_back(operating_point(variant));
  html += roc_plot(result, "Slides: ROC", slides_of, points);
  html += precision_recall_plot(result, "Slides: precision and recall", slides_of);
  bool instances = false;
  for (const VariantResult& variant : result.variants) instances |= !variant.instance_labels.empty();
  if (instances) {
    html += roc_plot(result, "Patches: ROC", instances_of);
    html += precision_recall_plot(result, "Patches: precision and recall", instances_of);
  }
  html += "</div>\n<p class=\"hint\">Dotted: a score by chance. Dots: the calls at the threshold.";
  html += result.variants.size() > 1 ? " Dashed: without the ranking loss." : "";
  html += "</p>\n";
  if (!instances) html += "<p>Patches: " + not_measured("no test patch has a known truth") + "</p>\n";
  return html + "</section>\n";
}

}  // namespace mt::train
