#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <type_traits>

#include "train/cli/progress.h"
#include "train/cli/version.h"
#include "train/report/sections.h"
#include "train/settings/config_options.h"

namespace mt::train {
namespace {

/// "mil rounds/hnm/1" → "mil"
std::string kind_of(const std::string& stage) {
  return stage.substr(0, stage.find(' '));
}

std::vector<std::string> stage_cells(const StageTime& stage, const std::string& name) {
  return {escape_html(name), duration_text(stage.seconds),
          stage.updates > 0 ? grouped_number(stage.updates) : "–",
          stage.images > 0 ? grouped_number(stage.images) : "–",
          stage.images > 0 && stage.seconds > 0
              ? fmt::format("{:.1f}", static_cast<double>(stage.images) / stage.seconds)
              : "–"};
}

std::string times(const RunResult& result, std::size_t most_rows) {
  const std::vector<std::string> header{"Stage", "Time", "Updates", "Images", "Images / s"};
  std::map<std::string, StageTime> sums;
  StageTime total{"all stages", 0, 0, 0};
  HtmlTable each(header);
  for (std::size_t i = 0; i < result.stages.size(); ++i) {
    const StageTime& stage = result.stages[i];
    for (StageTime* sum : {&sums[kind_of(stage.name)], &total}) {
      sum->seconds += stage.seconds;
      sum->updates += stage.updates;
      sum->images += stage.images;
    }
    if (i < most_rows) each.add_row(stage_cells(stage, stage.name));
  }
  HtmlTable by_kind(header);
  for (const char* kind : {"tile", "pretrain", "embed", "mil", "finetune"}) {
    if (sums.contains(kind)) by_kind.add_row(stage_cells(sums[kind], kind));
    sums.erase(kind);
  }
  for (const auto& [kind, sum] : sums) by_kind.add_row(stage_cells(sum, kind));
  by_kind.add_row(stage_cells(total, total.name), "chosen");
  std::string html = "<section id=\"times\">\n<h2>Times</h2>\n" + by_kind.str();
  return html + details(fmt::format("Stage by stage ({})", result.stages.size()), each.str()) +
         "</section>\n";
}

/// At most `most` lines, and how many more there are.
std::string list(const std::vector<std::string>& lines, std::size_t most) {
  std::string html = "<ul>\n";
  for (std::size_t i = 0; i < std::min(lines.size(), most); ++i) {
    html += "<li>" + escape_html(lines[i].substr(0, 1000)) + "</li>\n";
  }
  if (lines.size() > most) html += fmt::format("<li>and {} more</li>\n", lines.size() - most);
  return html + "</ul>\n";
}

std::string notes(const RunContext& context, const RunResult& result, std::size_t most) {
  std::string html = "<section id=\"notes\">\n<h2>Notes</h2>\n";
  if (result.notes.empty() && context.dataset.problems.empty())
    return html + "<p>No slide was left out, and nothing was noted.</p>\n</section>\n";
  if (!result.notes.empty()) html += list(result.notes, most);
  if (!context.dataset.problems.empty()) {
    html += fmt::format("<h3>Problems that were passed over; slides left out: {}</h3>\n",
                        context.dataset.left_out.size()) +
            list(context.dataset.problems, most);
  }
  return html + "</section>\n";
}

std::string configuration(const RunResult& result) {
  HtmlTable table({"Setting", "Value", ""});
  std::string group;
  visit_options(result.config, [&](const OptionText& text, const auto& value) {
    using T = std::remove_cvref_t<decltype(value)>;
    if (group != text.group) table.add_group(group = text.group);
    std::string shown;
    if constexpr (std::is_same_v<T, bool>) {
      shown = value ? "true" : "false";
    } else if constexpr (IsChoice<T>) {
      shown = choice_name(value);
    } else {
      shown = fmt::format("{}", value);
    }
    table.add_row({fmt::format("<code>--{}</code>", text.name), "<code>" + escape_html(shown) + "</code>",
                   "<span class=\"hint\">" + escape_html(text.help) + "</span>"});
  });
  return table.str();
}

}  // namespace

std::string appendix_section(const RunContext& context, const RunResult& result, const ReportLimits& limits) {
  std::string html = times(result, limits.table_rows) + notes(context, result, limits.table_rows);
  html += "<section id=\"configuration\">\n<h2>Configuration</h2>\n";
  html += details("All settings of this run", configuration(result));
  HtmlTable hashes({"Variant", "SHA-256 of the selected encoder and MIL weights"});
  for (const VariantResult& variant : result.variants)
    hashes.add_row({escape_html(variant.name), "<code>" + escape_html(variant.weights_sha256) + "</code>"});
  html += hashes.str();
  html += fmt::format(
      "<p class=\"hint\">Microtome {}, CPU instructions {}. Within one instruction set the same command "
      "gives "
      "the same weights, whatever the number of threads. All figures are in result.json, all log lines in "
      "log.jsonl beside this page.</p>\n",
      escape_html(kVersion), escape_html(result.instruction_set));
  return html + "</section>\n";
}

}  // namespace mt::train
