// What the result was made from: the table that a paper begins with, and what a page needs to be filed.

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "train/report/sections.h"

namespace mt::train {
namespace {

struct SplitCounts {
  int64_t slides = 0;
  int64_t positive = 0;
  std::set<std::string> cases;
  int64_t patches = 0;
  int64_t outlined = 0;             // slides with an annotation
  double finest = 0, coarsest = 0;  // µm per pixel of a patch; 0: no slide says it

  void add(const TiledSlide& slide) {
    ++slides;
    positive += slide.record.label;
    cases.insert(slide.record.case_id);
    patches += static_cast<int64_t>(slide.tiles.x_level0.size());
    outlined += slide.record.annotation.empty() ? 0 : 1;
    const double mpp = slide.tiles.mpp;
    if (mpp <= 0) return;
    finest = finest == 0 ? mpp : std::min(finest, mpp);
    coarsest = std::max(coarsest, mpp);
  }
};

std::string mpp_text(const SplitCounts& counts) {
  if (counts.finest == 0) return not_measured("");
  const std::string low = fmt::format("{:.3g}", counts.finest);
  const std::string high = fmt::format("{:.3g}", counts.coarsest);
  return low == high ? low : low + " to " + high;
}

std::string table_one(const RunContext& context, const RunResult& result) {
  HtmlTable table({"", "Training", "Validation", "Test"}, "figures");
  std::array<SplitCounts, 3> counts;
  for (const TiledSlide& slide : context.slides)
    counts[static_cast<std::size_t>(slide.record.split)].add(slide);
  const auto row = [&](const std::string& name, const auto& cell) {
    table.add_row({name, cell(counts[0]), cell(counts[1]), cell(counts[2])});
  };
  row("Slides", [](const SplitCounts& c) { return grouped_number(c.slides); });
  row("Cases (patients)",
      [](const SplitCounts& c) { return grouped_number(static_cast<int64_t>(c.cases.size())); });
  row("Slides labelled " + escape_html(result.classes[1]),
      [](const SplitCounts& c) { return grouped_number(c.positive); });
  if (context.has_patches()) {
    row("Slides with outlines", [](const SplitCounts& c) { return grouped_number(c.outlined); });
    row("Patches", [](const SplitCounts& c) { return grouped_number(c.patches); });
    row("µm per pixel of a patch", mpp_text);
  }
  return table.str();
}

std::string facts_table(const RunResult& result) {
  const RunFacts& facts = result.facts;
  HtmlTable table({"", ""});
  table.add_row({"Written", escape_html(facts.date) + " UTC"});
  table.add_row(
      {"Machine", escape_html(fmt::format("{}, {}, {} threads", facts.host, facts.cpu, result.threads))});
  table.add_row({"Computed on", escape_html(result.device)});
  table.add_row(
      {"Program", escape_html(fmt::format("Microtome {}, commit {}", facts.version, facts.commit))});
  table.add_row({"Recipe", escape_html(fmt::format("--preset {}, seed {}", choice_name(result.config.preset),
                                                   result.config.seed))});
  table.add_row({"Command", "<code>" + escape_html(facts.command) + "</code>"});
  table.add_row({"SHA-256 of manifest.json", "<code>" + escape_html(facts.manifest_sha256) + "</code>"});
  return table.str();
}

}  // namespace

std::string data_section(const RunContext& context, const RunResult& result) {
  return "<section id=\"data\">\n<h2>Slides and run</h2>\n<div class=\"pair\">\n" +
         table_one(context, result) + facts_table(result) + "</div>\n</section>\n";
}

std::string words_section(const RunResult& result) {
  const std::string positive = escape_html(result.classes[1]);
  const std::vector<std::pair<std::string, std::string>> words{
      {"Patch", "the square of a slide that the network sees."},
      {"Slide score", "0 to 1, from all patches of a slide. It ranks slides; it is no probability."},
      {"Threshold",
       "the slide score from which on a slide is called " + positive + "; chosen on the validation slides."},
      {"Instance score", "the same for one patch: what the heatmaps show."},
      {"AUC", "the chance that a slide that is " + positive +
                  " scores above one that is not: 0.5 is guessing, 1 is perfect."},
      {"Average precision", "the mean share of true " + positive +
                                " patches among those that score at least as high, over all true ones."},
      {"Sensitivity, specificity",
       "the share of " + positive + " slides that are called so, and of the others that are not."},
      {"95 % interval",
       "what other test slides of the same kind would plausibly have given; wide where there are few."},
      {"Hard negative", "a patch of a slide without " + positive +
                            " that the model takes for it; it is shown to the encoder as what it is not."},
      {"Pseudo-positive",
       "a patch that the model takes for " + positive + " and that is then learned from as if it were."},
      {"Round",
       "mining, fine-tuning of the encoder on what was mined, and a new bag model; kept where validation "
       "slides say so."},
  };
  std::string html = "<dl class=\"words\">\n";
  for (const auto& [word, meaning] : words) html += "<dt>" + word + "</dt><dd>" + meaning + "</dd>\n";
  return details("What the words mean", html + "</dl>\n");
}

}  // namespace mt::train
