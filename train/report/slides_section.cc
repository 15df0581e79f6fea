#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "tensor/check.h"
#include "train/figures/metrics.h"
#include "train/report/sections.h"
#include "train/run/score_files.h"
#include "wsi/annotation.h"
#include "wsi/heatmap.h"

namespace mt::train {
namespace {

constexpr int64_t kThumbnail = 448;  // longer side of a slide's picture, in pixels
constexpr int kQuality = 82;

/// Instance scores of one variant's selected round, and the range that the colours span.
struct HeatmapScores {
  const VariantResult* variant = nullptr;
  InstanceScores scores;  // by slide of the dataset
  float low = 0;
  float high = 1;
};

/// Colours span the 1st to 99th percentile over all test slides, so that slides can be compared.
HeatmapScores heatmap_scores(const RunContext& context, const VariantResult& variant) {
  HeatmapScores heatmap;
  heatmap.variant = &variant;
  heatmap.scores = read_instance_scores(
      context.folder.checked(context.folder.round(variant.variant(), variant.selected_round).scores()),
      context.slides);
  std::vector<double> all;
  for (std::size_t s = 0; s < heatmap.scores.size(); ++s) {
    if (context.slides[s].record.split != Split::test) continue;
    for (const float score : heatmap.scores[s]) {
      if (std::isfinite(score)) all.push_back(score);
    }
  }
  if (all.empty()) return heatmap;
  const auto low = static_cast<float>(quantile(all, 0.01));
  const auto high = static_cast<float>(quantile(std::move(all), 0.99));
  if (high - low > 1e-6F) {
    heatmap.low = low;
    heatmap.high = high;
  }
  return heatmap;
}

std::string picture(const wsi::RgbImage& image, const std::string& caption) {
  return fmt::format(
      "<figure class=\"thumb\"><img src=\"{}\" width=\"{}\" height=\"{}\" alt=\"{}\" tabindex=\"0\" "
      "loading=\"lazy\"><figcaption>{}</figcaption></figure>\n",
      jpeg_data_uri(image, kQuality), image.width, image.height, escape_html(caption), escape_html(caption));
}

/// "; bar: 1 mm"; nothing without a bar.
std::string bar_text(double um) {
  if (um <= 0) return "";
  return um >= 1000 ? fmt::format("; bar: {:g} mm", um / 1000) : fmt::format("; bar: {:g} µm", um);
}

std::string truth_picture(const SlideRecord& record, const std::array<std::string, 2>& classes,
                          const Config& config, wsi::RgbImage image, const wsi::ThumbnailScale& scale,
                          double bar_um) {
  if (record.annotation.empty())
    return picture(image, fmt::format("truth: {}{}{}", record.label == 1 ? "" : "not ", classes[1],
                                      record.label == 1 ? ", not outlined" : "") +
                              bar_text(bar_um));
  const wsi::Annotations outlines = read_outlines(record, config);
  // Yellow on black is seen on every stain and by every eye.
  wsi::draw_outlines(image, scale, outlines, {0, 0, 0}, 4);
  wsi::draw_outlines(image, scale, outlines, {255, 225, 0}, 2);
  return picture(image, fmt::format("truth: outlined {}{}{}", classes[1],
                                    record.annotation_is_complete ? "" : " (incomplete)", bar_text(bar_um)));
}

std::string heatmap_picture(const HeatmapScores& heatmap, const SlideTiles& tiles, std::size_t slide,
                            wsi::RgbImage image, const wsi::ThumbnailScale& scale, bool name_variant) {
  const std::vector<float>& scores = heatmap.scores[slide];
  check(scores.size() == tiles.x_level0.size(), "report: {} scores for {} patches", scores.size(),
        tiles.x_level0.size());
  std::vector<wsi::PatchScore> patches;
  for (std::size_t t = 0; t < scores.size(); ++t)
    patches.push_back({tiles.x_level0[t], tiles.y_level0[t], scores[t]});
  wsi::draw_heatmap(image, scale, patches, tiles.patch_level0, heatmap.low, heatmap.high, 0.6F);
  return picture(image, name_variant ? heatmap.variant->name : "instance scores");
}

std::string slide_pictures(RunContext& context, std::size_t slide,
                           const std::vector<HeatmapScores>& heatmaps) {
  const SlideRecord& record = context.slides[slide].record;
  try {
    const auto opened = open_slide(record, context.config);
    wsi::RgbImage thumbnail = opened->thumbnail(kThumbnail);
    const wsi::ThumbnailScale scale(thumbnail, opened->levels()[0]);
    const auto mpp = opened->mpp();
    const double bar = mpp ? wsi::draw_scale_bar(thumbnail, *mpp / scale.x) : 0;
    std::string html = truth_picture(record, context.dataset.classes, context.config, thumbnail, scale, bar);
    for (const HeatmapScores& heatmap : heatmaps)
      html +=
          heatmap_picture(heatmap, context.slides[slide].tiles, slide, thumbnail, scale, heatmaps.size() > 1);
    return "<div class=\"pictures\">\n" + html + "</div>\n";
  } catch (const Error& error) {
    return "<p class=\"none\">no pictures: " + escape_html(error.what()) + "</p>\n";
  }
}

std::string call_pill(const VariantResult& variant, const SlideScore& slide,
                      const std::array<std::string, 2>& classes) {
  const bool positive = called_positive(variant, slide);
  const bool correct = positive == (slide.label == 1);
  return pill(correct ? "good" : "bad",
              fmt::format("{} called {}", correct ? "✓" : "✗", classes[positive ? 1 : 0]));
}

/// Those to be pictured: as many of each class as there are, wrong calls first (the furthest from the threshold leading), then the
/// nearest to the threshold, then the surest.
std::vector<SlideScore> to_picture(const VariantResult& variant, std::size_t most);

/// Wrong calls first, the furthest from the threshold leading; then by score, highest first.
std::vector<SlideScore> by_interest(const VariantResult& variant) {
  std::vector<SlideScore> slides = variant.test_slides;
  const auto wrong = [&](const SlideScore& s) { return called_positive(variant, s) != (s.label == 1); };
  std::stable_sort(slides.begin(), slides.end(), [&](const SlideScore& a, const SlideScore& b) {
    if (wrong(a) != wrong(b)) return wrong(a);
    if (wrong(a)) return std::abs(a.score - variant.threshold) > std::abs(b.score - variant.threshold);
    return a.score > b.score;
  });
  return slides;
}

std::vector<SlideScore> to_picture(const VariantResult& variant, std::size_t most) {
  constexpr std::size_t kBorderline = 2;  // of each class
  std::array<std::vector<SlideScore>, 2> by_label;
  for (const SlideScore& slide : by_interest(variant))
    by_label[static_cast<std::size_t>(slide.label)].push_back(slide);
  for (std::vector<SlideScore>& slides : by_label) {
    const auto correct = std::find_if(slides.begin(), slides.end(), [&](const SlideScore& s) {
      return called_positive(variant, s) == (s.label == 1);
    });
    const auto distance = [&](const SlideScore& s) { return std::abs(s.score - variant.threshold); };
    std::vector<SlideScore> rest(correct, slides.end());
    std::stable_sort(rest.begin(), rest.end(),
                     [&](const SlideScore& a, const SlideScore& b) { return distance(a) < distance(b); });
    if (rest.size() > kBorderline) std::reverse(rest.begin() + kBorderline, rest.end());
    std::copy(rest.begin(), rest.end(), correct);
  }
  // Turn by turn, so that a page that ends early still has both.
  std::vector<SlideScore> slides;
  for (std::size_t i = 0; slides.size() < most && (i < by_label[0].size() || i < by_label[1].size()); ++i) {
    for (const std::size_t label : {std::size_t{1}, std::size_t{0}}) {
      if (i < by_label[label].size() && slides.size() < most) slides.push_back(by_label[label][i]);
    }
  }
  return slides;
}

std::string colour_bar(const HeatmapScores& heatmap, bool name_variant) {
  std::string stops;
  for (int i = 0; i <= 8; ++i) {
    const wsi::Colour colour = wsi::heat_colour(static_cast<float>(i) / 8);
    stops += fmt::format("{}rgb({},{},{})", i > 0 ? "," : "", colour[0], colour[1], colour[2]);
  }
  return fmt::format(
      "<span class=\"key\">{} {:.3f} <span class=\"colours\" style=\"background:linear-gradient(90deg,{})\">"
      "</span> {:.3f}</span>\n",
      name_variant ? escape_html(heatmap.variant->name) : "score", heatmap.low, stops, heatmap.high);
}

std::string slide_card(RunContext& context, const SlideScore& slide, const VariantResult& variant,
                       const std::map<std::string, std::size_t>& places,
                       const std::vector<HeatmapScores>& heatmaps) {
  const auto place = places.find(slide.id);
  const std::string pictures = place == places.end() ? "" : slide_pictures(context, place->second, heatmaps);
  return fmt::format(
      "<article class=\"slide\">\n<h4>{}</h4><p>{} score <b>{:.3f}</b> (threshold {:.3f}) "
      "{}</p>\n{}</article>\n",
      escape_html(slide.id),
      pill("plain", "label " + context.dataset.classes[static_cast<std::size_t>(slide.label)]), slide.score,
      variant.threshold, call_pill(variant, slide, context.dataset.classes), pictures);
}

}  // namespace

std::string slides_section(RunContext& context, const RunResult& result, const ReportLimits& limits,
                           ByteBudget& budget) {
  const VariantResult& variant = headline_variant(result);
  std::string html = "<section id=\"slides\">\n<h2>Test slides</h2>\n";
  if (!context.has_patches())
    return html + "<p>Pictures: " + not_measured("this run has features, and no slides to show") + "</p>\n" +
           slide_list(result, limits.table_rows) + "</section>\n";
  std::vector<HeatmapScores> heatmaps;
  for (const VariantResult& each : result.variants) heatmaps.push_back(heatmap_scores(context, each));
  std::map<std::string, std::size_t> places;
  for (std::size_t s = 0; s < context.slides.size(); ++s) places[context.slides[s].record.id] = s;

  const std::vector<SlideScore> slides = to_picture(variant, limits.slides);
  const std::size_t all = variant.test_slides.size();
  std::string cards;
  std::size_t shown = 0;
  for (std::size_t i = 0; i < slides.size(); ++i) {
    const std::string card = slide_card(context, slides[i], variant, places, heatmaps);
    if (!budget.take(card)) break;
    cards += card;
    ++shown;
  }
  html += fmt::format(
      "<p class=\"hint\">{} of {} test slides, of both classes in turn, by {}: wrong calls first, then the "
      "nearest to the threshold, then "
      "the surest. Outline: the annotation. Heatmaps: the instance score of every patch; colours span the "
      "1st to 99th percentile over "
      "all test slides. A click enlarges a picture:</p>\n<p>",
      shown, all, escape_html(variant.name));
  for (const HeatmapScores& heatmap : heatmaps) html += colour_bar(heatmap, heatmaps.size() > 1);
  html += fmt::format("</p>\n<div class=\"slides{}\">\n", heatmaps.size() > 2 ? " wide" : "");
  html += cards + "</div>\n";
  if (shown < all)
    html += fmt::format("<p class=\"hint\">{} slides are not pictured, to keep this page small.</p>\n",
                        all - shown);
  return html + slide_list(result, limits.table_rows) + "</section>\n";
}

std::string slide_list(const RunResult& result, std::size_t most_rows) {
  std::vector<std::string> header{"Slide", "Label"};
  for (const VariantResult& variant : result.variants)
    header.push_back(fmt::format("{}<br><span class=\"interval\">threshold {:.3f}</span>",
                                 escape_html(variant.name), variant.threshold));
  HtmlTable table(header);
  const std::vector<SlideScore> slides = by_interest(headline_variant(result));
  std::vector<std::map<std::string, SlideScore>> by_id(result.variants.size());
  for (std::size_t v = 0; v < by_id.size(); ++v) {
    for (const SlideScore& slide : result.variants[v].test_slides) by_id[v][slide.id] = slide;
  }
  for (std::size_t i = 0; i < std::min(slides.size(), most_rows); ++i) {
    std::vector<std::string> cells{escape_html(slides[i].id),
                                   escape_html(result.classes[static_cast<std::size_t>(slides[i].label)])};
    for (std::size_t v = 0; v < by_id.size(); ++v) {
      const auto found = by_id[v].find(slides[i].id);
      cells.push_back(found == by_id[v].end()
                          ? not_measured("")
                          : three_decimals(found->second.score) + " " +
                                call_pill(result.variants[v], found->second, result.classes));
    }
    table.add_row(cells);
  }
  std::string html = table.str();
  if (slides.size() > most_rows)
    html += fmt::format("<p class=\"hint\">{} more are in result.json.</p>\n", slides.size() - most_rows);
  return details(fmt::format("Scores of all {} test slides", slides.size()), html);
}

}  // namespace mt::train
