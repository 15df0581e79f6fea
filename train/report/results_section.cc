#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "tensor/check.h"
#include "train/data/datasets/registry.h"
#include "train/figures/metrics.h"
#include "train/report/sections.h"

namespace mt::train {
namespace {

struct MetricName {
  const char* name;
  const char* text;
};
constexpr MetricName kMetrics[] = {
    {"slide_auc", "Slide AUC"},
    {"accuracy", "Accuracy"},
    {"sensitivity", "Sensitivity"},
    {"specificity", "Specificity"},
    {"f1", "F1"},
    {"instance_auc", "Instance AUC"},
    {"instance_average_precision", "Instance average precision"},
};

std::string metric_text(const std::string& name) {
  for (const MetricName& metric : kMetrics) {
    if (name == metric.name) return metric.text;
  }
  return name;
}

std::string interval_text(const Interval& interval) {
  return fmt::format("{:.2f} to {:.2f}", interval.low, interval.high);
}

/// How the intervals of the table were made; each method once, under a letter.
class Footnotes {
 public:
  std::string mark(const std::string& text) {
    auto found = std::find(texts_.begin(), texts_.end(), text);
    if (found == texts_.end()) found = texts_.insert(texts_.end(), text);
    return "<sup>" + letter(static_cast<std::size_t>(found - texts_.begin())) + "</sup>";
  }
  std::string str() const {
    std::string html;
    for (std::size_t i = 0; i < texts_.size(); ++i)
      html += "<li><sup>" + letter(i) + "</sup> " + escape_html(texts_[i]) + "</li>\n";
    return html.empty() ? html : "<ul class=\"footnotes\">\n" + html + "</ul>\n";
  }

 private:
  static std::string letter(std::size_t i) {
    return i < 26 ? std::string(1, static_cast<char>('a' + i)) : std::to_string(i);
  }
  std::vector<std::string> texts_;
};

std::string metric_cell(const Metric* metric, Footnotes& footnotes) {
  if (metric == nullptr) return not_measured("");
  if (!metric->value) return not_measured(metric->note);
  std::string html = "<b>" + three_decimals(*metric->value) + "</b>";
  if (metric->interval) {
    html += fmt::format("<span class=\"interval\">{}{}</span>", interval_text(*metric->interval),
                        footnotes.mark(metric->interval->method));
  } else {
    html += "<span class=\"interval\">no interval</span>";
  }
  return html;
}

struct FinetuneCost {
  int64_t epochs = 0;
  int64_t images = 0;
  int64_t updates = 0;
  double seconds = 0;
};

FinetuneCost cost_of(const VariantResult& variant) {
  FinetuneCost cost;
  for (const RoundResult& round : variant.rounds) {
    if (!round.finetune) continue;
    cost.epochs += round.finetune->epochs;
    cost.images += round.finetune->images;
    cost.updates += round.finetune->updates;
    cost.seconds += round.finetune->seconds;
  }
  return cost;
}

std::string images_per_epoch(const VariantResult& variant) {
  const FinetuneCost cost = cost_of(variant);
  return cost.epochs == 0 ? "–" : grouped_number(cost.images / cost.epochs);
}

std::string seconds_per_epoch(const VariantResult& variant) {
  const FinetuneCost cost = cost_of(variant);
  return cost.epochs == 0 ? "–" : fmt::format("{:.1f}", cost.seconds / static_cast<double>(cost.epochs));
}

/// "slide AUC 0.889 (95 % interval 0.56 to 1.00), instance average precision not measured"
std::string in_words(const VariantResult& variant) {
  std::string words;
  for (const auto& [name, text] : {std::pair{"slide_auc", "slide AUC"},
                                   std::pair{"instance_average_precision", "instance average precision"}}) {
    const Metric* metric = find_metric(variant.metrics, name);
    words += (words.empty() ? "" : ", ") + std::string(text);
    if (metric == nullptr || !metric->value) {
      words += " not measured";
      continue;
    }
    words += fmt::format(" <b>{:.3f}</b>", *metric->value);
    if (metric->interval) words += " (95 % interval " + interval_text(*metric->interval) + ")";
  }
  return words;
}

std::string dataset_text(const Config& config) {
  if (!config.features.empty()) return "features in " + config.features;
  return dataset_kind(config).describe(config);
}

/// What the positive class is called, where the dataset calls it something.
std::string classes_text(const RunResult& result) {
  if (result.classes == RunResult().classes) return {};
  return fmt::format("; positive is {}, negative {}", escape_html(result.classes[1]),
                     escape_html(result.classes[0]));
}

std::string key_figure(const VariantResult& variant, const char* name) {
  const Metric* metric = find_metric(variant.metrics, name);
  std::string html = "<div class=\"figure\"><span class=\"label\">" + metric_text(name) + "</span>";
  if (metric == nullptr || !metric->value) {
    html += not_measured(metric == nullptr ? "" : metric->note);
  } else {
    html += "<span class=\"value\">" + three_decimals(*metric->value) + "</span>";
    if (metric->interval)
      html += "<span class=\"interval\">95 % interval " + interval_text(*metric->interval) + "</span>";
  }
  return html + "</div>\n";
}

std::string warnings(const RunResult& result) {
  std::string items;
  std::string collapsed;
  for (const VariantResult& variant : result.variants) {
    std::string rounds;
    for (const RoundResult& round : variant.rounds) {
      if (round.collapsed()) rounds += (rounds.empty() ? "" : ", ") + std::to_string(round.round);
    }
    if (!rounds.empty())
      collapsed +=
          fmt::format("{}{} (round {})", collapsed.empty() ? "" : ", ", escape_html(variant.name), rounds);
  }
  if (!collapsed.empty()) {
    items += fmt::format(
        "<li>Collapse while fine-tuning {}: the encoder's outputs ran into one direction; the monitor "
        "stopped "
        "the round and went back to the weights before it.</li>\n",
        collapsed);
  }
  if (result.slides_left_out > 0) {
    items += fmt::format("<li>{} slide{} left out; see <a href=\"#notes\">notes</a>.</li>\n",
                         result.slides_left_out, result.slides_left_out == 1 ? " was" : "s were");
  }
  return items.empty() ? items : "<ul class=\"warnings\">\n" + items + "</ul>\n";
}

/// Variants as rows, the figures by which the method is judged as columns.
std::string ablation_table(const RunResult& result) {
  HtmlTable table({"Variant", "Slide AUC", "Instance AUC", "Instance AP", "Images / epoch", "Seconds / epoch",
                   "Selected round"},
                  "figures");
  for (const VariantResult& variant : result.variants) {
    std::vector<std::string> cells{escape_html(variant.name)};
    for (const char* name : {"slide_auc", "instance_auc", "instance_average_precision"}) {
      const Metric* metric = find_metric(variant.metrics, name);
      if (metric == nullptr || !metric->value) {
        cells.push_back(not_measured(""));
        continue;
      }
      cells.push_back("<b>" + three_decimals(*metric->value) + "</b>");
      if (metric->interval)
        cells.back() += " <span class=\"interval\">" + interval_text(*metric->interval) + "</span>";
    }
    cells.push_back(images_per_epoch(variant));
    cells.push_back(seconds_per_epoch(variant));
    cells.push_back(std::to_string(variant.selected_round));
    table.add_row(cells);
  }
  return "<h3>Ablation</h3>\n<p>The same tiles, pre-training and first round for all; +ranking adds the "
         "patch-wise ranking loss to MIL training.</p>\n" +
         table.str();
}

/// The slide AUC of one variant less that of another, on the same resampled slides. nullopt where one is not defined.
std::optional<std::pair<double, Interval>> auc_difference(const VariantResult& a, const VariantResult& b,
                                                          uint64_t seed) {
  std::vector<int> labels;
  std::vector<double> places;  // in both lists of scores: what is resampled
  std::vector<std::string> cases;
  if (a.test_slides.size() != b.test_slides.size()) return std::nullopt;
  for (std::size_t i = 0; i < a.test_slides.size(); ++i) {
    if (a.test_slides[i].id != b.test_slides[i].id) return std::nullopt;
    labels.push_back(a.test_slides[i].label);
    places.push_back(static_cast<double>(i));
    cases.push_back(a.test_slides[i].case_id);
  }
  const Statistic difference = [&](std::span<const int> drawn,
                                   std::span<const double> at) -> std::optional<double> {
    std::vector<double> of_a;
    std::vector<double> of_b;
    for (const double place : at) {
      of_a.push_back(a.test_slides[static_cast<std::size_t>(place)].score);
      of_b.push_back(b.test_slides[static_cast<std::size_t>(place)].score);
    }
    const auto auc_a = auc(drawn, of_a);
    const auto auc_b = auc(drawn, of_b);
    if (!auc_a || !auc_b) return std::nullopt;
    return *auc_a - *auc_b;
  };
  const auto value = difference(labels, places);
  const auto interval = bootstrap_interval(labels, places, difference, {2000, seed}, cases);
  if (!value || !interval) return std::nullopt;
  return std::pair{*value, *interval};
}

/// What a method adds to its controls, with and without ranking apart.
std::string differences_table(const RunResult& result) {
  constexpr std::pair<Method, Method> kPairs[] = {
      {Method::hnm, Method::random}, {Method::hnm, Method::unmined},    {Method::hnm, Method::its2clr},
      {Method::hnm, Method::mil},    {Method::random, Method::unmined}, {Method::unmined, Method::mil}};
  HtmlTable table({"Difference", "Slide AUC", "95 % interval"}, "figures");
  bool any = false;
  for (const auto& [method, control] : kPairs) {
    for (const VariantResult& a : result.variants) {
      for (const VariantResult& b : result.variants) {
        if (a.method != method || b.method != control || a.ranking != b.ranking) continue;
        const auto difference = auc_difference(a, b, result.config.seed);
        any = true;
        table.add_row({escape_html(a.name + " less " + b.name),
                       difference ? fmt::format("<b>{:+.3f}</b>", difference->first) : not_measured(""),
                       difference ? fmt::format("{:+.3f} to {:+.3f} <span class=\"interval\">{}</span>",
                                                difference->second.low, difference->second.high,
                                                escape_html(difference->second.method))
                                  : ""});
      }
    }
  }
  if (!any) return "";
  return "<h3>What mining adds</h3>\n<p>Paired: both variants on the same slides, cases resampled together. "
         "Of one run: another seed draws other batches, so a claim "
         "needs several runs.</p>\n" +
         table.str();
}

}  // namespace

const VariantResult& headline_variant(const RunResult& result) {
  check(!result.variants.empty(), "report: the result holds no variant");
  const std::string wanted = Variant{result.config.method, result.config.ranking == Ranking::on}.name();
  for (const VariantResult& variant : result.variants) {
    if (variant.name == wanted) return variant;
  }
  return result.variants.back();
}

const Metric* find_metric(const std::vector<Metric>& metrics, const std::string& name) {
  for (const Metric& metric : metrics) {
    if (metric.name == name) return &metric;
  }
  return nullptr;
}

bool called_positive(const VariantResult& variant, const SlideScore& slide) {
  return slide.score >= variant.threshold;
}

std::string title_section(const RunResult& result) {
  const VariantResult& variant = headline_variant(result);
  const Config& config = result.config;
  std::string html = fmt::format(
      "<header>\n<p class=\"over\">Microtome report</p>\n<h1>{} on {}</h1>\n",
      escape_html(result.variants.size() > 1 ? fmt::format("Ablation of {} variants", result.variants.size())
                                             : variant.name),
      escape_html(dataset_text(config)) + classes_text(result));
  html += fmt::format("<p class=\"lead\">{} on {} test slides: {}.", escape_html(variant.name),
                      result.slides_test, in_words(variant));
  const VariantResult* plain = nullptr;  // the same without fine-tuning, where it was run
  for (const VariantResult& other : result.variants) {
    if (other.method == Method::mil && variant.method != Method::mil && other.ranking == variant.ranking)
      plain = &other;
  }
  if (plain != nullptr) {
    html += fmt::format(" Without fine-tuning ({}): {}.", escape_html(plain->name), in_words(*plain));
  }
  html += fmt::format(
      " Epoch, round and threshold were chosen on {} validation slides; {} slides trained it.</p>\n",
      result.slides_validation, result.slides_train);
  html += "<p>" +
          (dataset_kind(config).lies_in_run ? pill("plain", "synthetic slides") + " " : std::string()) +
          pill("plain", "for research, not for diagnosis") + "</p>\n";
  html += "<div class=\"key\">\n";
  for (const char* name : {"slide_auc", "accuracy", "instance_auc", "instance_average_precision"})
    html += key_figure(variant, name);
  return html + "</div>\n" + warnings(result) + "</header>\n";
}

std::string results_section(const RunResult& result) {
  Footnotes footnotes;
  const auto new_table = [&](const char* heading) {
    std::vector<std::string> header{heading};
    for (const VariantResult& variant : result.variants) header.push_back(escape_html(variant.name));
    return HtmlTable(header, "figures");
  };
  const auto row = [&](const std::string& name, const auto& cell) {
    std::vector<std::string> cells{name};
    for (const VariantResult& variant : result.variants) cells.push_back(cell(variant));
    return cells;
  };
  HtmlTable figures = new_table("Chosen on the validation slides: the result");
  for (const MetricName& metric : kMetrics) {
    figures.add_row(row(metric.text, [&](const VariantResult& variant) {
      return metric_cell(find_metric(variant.metrics, metric.name), footnotes);
    }));
  }
  HtmlTable choice = new_table("How it was chosen, and what it cost");
  choice.add_row(row("Selected round", [](const auto& v) { return std::to_string(v.selected_round); }));
  choice.add_row(
      row("Selected MIL epoch, from 0", [](const auto& v) { return std::to_string(v.selected_epoch); }));
  choice.add_row(
      row("Threshold on the slide score", [](const auto& v) { return three_decimals(v.threshold); }));
  choice.add_row(row("Fine-tuning: images per epoch", images_per_epoch));
  choice.add_row(row("Fine-tuning: seconds per epoch", seconds_per_epoch));
  choice.add_group("Chosen on the test slides: for comparison only");
  for (const MetricName& metric : kMetrics) {
    const bool any = std::any_of(result.variants.begin(), result.variants.end(), [&](const auto& variant) {
      return find_metric(variant.test_optimal, metric.name) != nullptr;
    });
    if (!any) continue;
    choice.add_row(row(metric.text,
                       [&](const VariantResult& variant) -> std::string {
                         const Metric* found = find_metric(variant.test_optimal, metric.name);
                         if (found == nullptr || !found->value)
                           return not_measured(found == nullptr ? "" : found->note);
                         return three_decimals(*found->value) + footnotes.mark(found->note);
                       }),
                   "beside");
  }
  // Few variants leave room for the two tables side by side.
  std::string html = fmt::format(
      "<section id=\"results\">\n<h2>Results</h2>\n<div class=\"{}\">\n{}{}</div>\n{}",
      result.variants.size() <= 2 ? "pair" : "stack", figures.str(), choice.str(), footnotes.str());
  html +=
      "<p class=\"hint\">On the test slides, each figure with its 95 % interval. Public code of this field "
      "often reports the epoch and threshold that are best on the test slides themselves; such figures are "
      "too good, and are given here only to compare with papers.</p>\n";
  if (result.variants.size() > 1) html += ablation_table(result) + differences_table(result);
  return html + "</section>\n";
}

}  // namespace mt::train
