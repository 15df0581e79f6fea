#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "tensor/check.h"
#include "train/report/sections.h"
#include "wsi/resample.h"

namespace mt::train {
namespace {

constexpr int64_t kMostPixels = 128;  // side of a patch's picture

wsi::RgbImage read_patch(RunContext& context, PatchId id) {
  const int64_t side = context.patches.patch_pixels();
  wsi::RgbImage image(side, side);
  context.patches.read(id, image.pixels.data());
  if (side <= kMostPixels) return image;
  const double scale = static_cast<double>(side) / kMostPixels;
  return wsi::resample_area(image, 0, 0, scale, scale, kMostPixels, kMostPixels);
}

/// "tumour" or "normal" by the annotation, or nothing where it is not known.
std::string truth_of(const RunContext& context, PatchId id) {
  const SlideTiles& tiles = context.slides[static_cast<std::size_t>(id.slide)].tiles;
  if (tiles.tumour.empty()) return "";
  return tiles.tumour[static_cast<std::size_t>(id.tile)] >= static_cast<float>(context.config.tumour_overlap)
             ? "tumour"
             : "normal";
}

std::string patch_figure(RunContext& context, PatchId id, float score) {
  const std::string& slide = context.slides[static_cast<std::size_t>(id.slide)].record.id;
  const SlideTiles& tiles = context.slides[static_cast<std::size_t>(id.slide)].tiles;
  const auto tile = static_cast<std::size_t>(id.tile);
  const std::string truth = truth_of(context, id);
  const std::string place = fmt::format("{} at ({}, {})", slide, tiles.x_level0[tile], tiles.y_level0[tile]);
  std::string picture;
  try {
    picture = fmt::format("<img src=\"{}\" alt=\"{}\" loading=\"lazy\">",
                          jpeg_data_uri(read_patch(context, id), 85), escape_html(place));
  } catch (const Error& error) {
    picture = "<span class=\"missing\">" + escape_html(error.what()) + "</span>";
  }
  return fmt::format(
      "<figure class=\"patch {}\" title=\"{}\">{}<figcaption>{:.3f}<br>{}</figcaption></figure>\n", truth,
      escape_html(place + (truth.empty() ? "" : ", truth: " + truth)), picture, score, escape_html(slide));
}

std::string strip(RunContext& context, const std::vector<std::pair<PatchId, float>>& patches,
                  std::size_t most, ByteBudget& budget) {
  std::string html;
  const std::size_t count = std::min(patches.size(), most);
  for (std::size_t i = 0; i < count; ++i) {
    if (budget.left() < 2000) {
      budget.leave_out(count - i);
      break;
    }
    const std::string figure = patch_figure(context, patches[i].first, patches[i].second);
    if (budget.take(figure)) html += figure;
  }
  if (html.empty()) return "<p>" + not_measured(patches.empty() ? "none was mined" : "no room") + "</p>\n";
  return "<div class=\"strip\">\n" + html + "</div>\n";
}

/// The selected round first, then the first, then the others in order: the budget may end.
std::vector<std::size_t> rounds_by_interest(const VariantResult& variant) {
  std::vector<std::size_t> order{static_cast<std::size_t>(variant.selected_round), 0};
  for (std::size_t r = 0; r < variant.rounds.size(); ++r) order.push_back(r);
  std::vector<std::size_t> unique;
  for (const std::size_t r : order) {
    if (r < variant.rounds.size() && std::find(unique.begin(), unique.end(), r) == unique.end())
      unique.push_back(r);
  }
  return unique;
}

std::string round_gallery(RunContext& context, const RoundResult& round, std::size_t most,
                          ByteBudget& budget) {
  return "<h4>Highest-scored patches of negative slides: hard negatives</h4>\n" +
         strip(context, round.top_hard_negatives, most, budget) +
         "<h4>Highest-scored patches of positive slides: pseudo-positives</h4>\n" +
         strip(context, round.top_positives, most, budget);
}

std::string variant_gallery(RunContext& context, const VariantResult& variant, std::size_t most,
                            std::set<std::string>& shown, ByteBudget& budget) {
  std::vector<std::string> parts(variant.rounds.size());
  for (const std::size_t r : rounds_by_interest(variant)) {
    const RoundResult& round = variant.rounds[r];
    const std::string title =
        fmt::format("Round {}{}", round.round, round.round == variant.selected_round ? " (selected)" : "");
    // The first round is one and the same for all methods.
    if (!shown.insert(context.folder.round(variant.variant(), round.round).name()).second) {
      parts[r] = fmt::format("<p>{}: the same scores as shown above for another variant.</p>\n", title);
      continue;
    }
    parts[r] =
        details(title, round_gallery(context, round, most, budget), round.round == variant.selected_round);
  }
  std::string html;
  for (const std::string& part : parts) html += part;
  return html;
}

}  // namespace

std::string gallery_section(RunContext& context, const RunResult& result, ByteBudget& budget) {
  std::string html = "<section id=\"gallery\">\n<h2>Mined patches</h2>\n";
  if (!context.has_patches())
    return html + "<p>" + not_measured("this run has features, and no slides to show patches of") +
           "</p>\n</section>\n";
  html +=
      "<p class=\"hint\">Score and slide under each patch. A frame shows the truth where it is known: "
      "<span class=\"swatch tumour\"></span> tumour, <span class=\"swatch normal\"></span> normal.</p>\n";
  // The variant of the headline first, so that its pictures surely fit.
  std::vector<const VariantResult*> order{&headline_variant(result)};
  for (const VariantResult& variant : result.variants) {
    if (&variant != order[0]) order.push_back(&variant);
  }
  const std::size_t before = budget.left_out();
  std::set<std::string> shown;
  for (const VariantResult* variant : order) {
    const std::string part = variant_gallery(context, *variant, order.size() > 1 ? 12 : 24, shown, budget);
    html += order.size() == 1 ? part : details(variant->name, part, variant == order[0]);
  }
  if (budget.left_out() > before)
    html += fmt::format("<p class=\"hint\">{} patches were left out to keep this page small.</p>\n",
                        budget.left_out() - before);
  return html + "</section>\n";
}

}  // namespace mt::train
