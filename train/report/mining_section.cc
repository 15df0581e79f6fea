#include <fmt/format.h>

#include <algorithm>

#include "train/report/sections.h"

namespace mt::train {
namespace {

/// The round whose scores labelled the patches that `round` was fine-tuned on: the last accepted before it.
int64_t labelling_round(const VariantResult& variant, std::size_t round) {
  for (std::size_t r = round; r-- > 0;) {
    if (variant.rounds[r].accepted) return variant.rounds[r].round;
  }
  return 0;
}

std::string count_with_threshold(int64_t count, double threshold) {
  return grouped_number(count) + fmt::format(" <span class=\"interval\">({:.3f})</span>", threshold);
}

std::string outcome(const VariantResult& variant, const RoundResult& round) {
  std::string html;
  if (round.collapsed()) html += pill("bad", "collapsed, rolled back") + " ";
  if (round.round == 0)
    html += pill("plain", "first");
  else
    html += round.accepted ? pill("good", "accepted") : pill("plain", "not accepted");
  if (round.round == variant.selected_round) html += " " + pill("good", "selected");
  return html;
}

std::string rounds_table(const RunContext& context, const VariantResult& variant) {
  HtmlTable table({"Round", "Labels of round", "Pseudo-positives (threshold)", "Hard negatives (threshold)",
                   "Epochs", "Updates", "Images", "Seconds", "Validation AUC", "Validation loss", ""},
                  "tight");
  bool fallback = false;
  for (std::size_t r = 0; r < variant.rounds.size(); ++r) {
    const RoundResult& round = variant.rounds[r];
    std::vector<std::string> cells{std::to_string(round.round), "–", "–", "–", "–", "–", "–", "–"};
    if (round.finetune) {
      const FinetuneRecord& tuned = *round.finetune;
      fallback |= tuned.fallback;
      cells = {std::to_string(round.round),
               std::to_string(labelling_round(variant, r)),
               count_with_threshold(tuned.positives, tuned.positive_threshold) +
                   (tuned.fallback ? "<sup>*</sup>" : ""),
               count_with_threshold(tuned.hard_negatives, tuned.negative_threshold),
               std::to_string(tuned.epochs),
               grouped_number(tuned.updates),
               grouped_number(tuned.images),
               fmt::format("{:.1f}", tuned.seconds)};
    }
    cells.insert(cells.end(), {three_decimals(round.validation_auc()),
                               three_decimals(round.validation_loss()), outcome(variant, round)});
    table.add_row(cells, round.round == variant.selected_round ? "chosen" : "");
  }
  std::string html = table.str();
  if (fallback)
    html += fmt::format(
        "<p class=\"hint\"><sup>*</sup> the threshold {} would have passed too few or too many patches; the "
        "top {} were taken instead.</p>\n",
        context.config.positive_threshold, percent_text(context.config.positive_fallback));
  return html;
}

/// Share and how many times it is above the share among all patches.
std::string enrichment_cell(const Enrichment& tissue) {
  std::string html =
      fmt::format("<span class=\"bar\" style=\"--share:{:.1f}%\">{}</span>",
                  100 * std::clamp(tissue.share_mined, 0.0, 1.0), percent_text(tissue.share_mined));
  if (tissue.share_all > 0)
    html += fmt::format(" <span class=\"interval\">×{:.2g}</span>", tissue.share_mined / tissue.share_all);
  return html;
}

/// The tissue types that some round knows, in the order in which they first come.
std::vector<Enrichment> tissues_of(const VariantResult& variant) {
  std::vector<Enrichment> tissues;
  for (const RoundResult& round : variant.rounds) {
    for (const Enrichment& tissue : round.negative_enrichment) {
      if (std::none_of(tissues.begin(), tissues.end(), [&](const auto& t) { return t.name == tissue.name; }))
        tissues.push_back(tissue);
    }
  }
  return tissues;
}

std::string labels_table(const VariantResult& variant) {
  const std::vector<Enrichment> tissues = tissues_of(variant);
  std::vector<std::string> header{"Scores of round", "Pseudo-positives", "of these truly tumour",
                                  "Hard negatives"};
  for (const Enrichment& tissue : tissues) header.push_back("of these " + escape_html(tissue.name));
  HtmlTable table(header, "tight");
  if (!tissues.empty()) {
    std::vector<std::string> all{"all patches", "", "", "of negative slides"};
    for (const Enrichment& tissue : tissues) all.push_back(percent_text(tissue.share_all));
    table.add_row(all, "beside");
  }
  for (const RoundResult& round : variant.rounds) {
    std::vector<std::string> cells{
        std::to_string(round.round), grouped_number(round.positives),
        round.positive_precision ? percent_text(*round.positive_precision) : not_measured("no truth known"),
        grouped_number(round.hard_negatives)};
    for (const Enrichment& tissue : tissues) {
      const auto found = std::find_if(round.negative_enrichment.begin(), round.negative_enrichment.end(),
                                      [&](const auto& t) { return t.name == tissue.name; });
      cells.push_back(found == round.negative_enrichment.end() ? not_measured("") : enrichment_cell(*found));
    }
    table.add_row(cells, round.round == variant.selected_round ? "chosen" : "");
  }
  return table.str();
}

std::string explanation(const VariantResult& variant, bool tissues_known) {
  std::string html = "<p class=\"hint\">What the instance scores of each round label on the training slides";
  if (variant.method == Method::mil)
    html += "; this variant does not fine-tune, so nothing was trained on it";
  if (variant.method == Method::its2clr)
    html += "; this method takes every patch of a negative slide as a negative, so nothing can be enriched";
  if (variant.method == Method::random) html += "; a control: its negatives are drawn by lot";
  if (variant.method == Method::unmined)
    html += "; a control: every patch of a positive slide is a positive, and the negatives are drawn by lot";
  html += ". ";
  html += tissues_known
              ? "×: how many times commoner among hard negatives than among all patches of negative "
                "slides.</p>\n"
              : "Tissue types of hard negatives: " +
                    not_measured("the dataset does not say what tissue is where") + "</p>\n";
  return html;
}

}  // namespace

std::string mining_section(const RunContext& context, const RunResult& result) {
  std::string html = "<section id=\"mining\">\n<h2>Mining by round</h2>\n";
  for (const VariantResult& variant : result.variants) {
    std::string part;
    if (variant.rounds.size() > 1) part += rounds_table(context, variant);
    if (!context.has_patches()) {
      part +=
          "<p>Mined patches: " + not_measured("this run has features, and no slides to mine in") + "</p>\n";
    } else {
      part += labels_table(variant) + explanation(variant, !tissues_of(variant).empty());
    }
    html += result.variants.size() == 1 ? part
                                        : details(variant.name, part, &variant == &headline_variant(result));
  }
  return html + "</section>\n";
}

}  // namespace mt::train
