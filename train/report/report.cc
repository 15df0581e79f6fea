#include "train/report/report.h"

#include <fmt/format.h>

#include "tensor/check.h"
#include "tensor/io/atomic_file.h"
#include "train/report/sections.h"

namespace mt::train {
namespace {

/// What is only known when all sections are made: words around pictures that are not counted one by one.
constexpr std::size_t kReserve = 20'000;

std::string head(const RunResult& result) {
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<title>Microtome: {}</title>\n<style>{}</style>\n</head>\n<body>\n",
      escape_html(headline_variant(result).name), report_style());
}

constexpr const char* kNavigation = R"(<nav><div>
<a href="#data">Slides and run</a> <a href="#results">Results</a> <a href="#calls">Calls</a> <a href="#curves">Curves</a> <a href="#training">Training</a>
<a href="#mining">Mining</a> <a href="#slides">Test slides</a> <a href="#gallery">Mined patches</a>
<a href="#times">Times</a> <a href="#notes">Notes</a> <a href="#configuration">Configuration</a>
</div></nav>
<main>
)";

}  // namespace

std::string report_html(RunContext& context, const RunResult& result, const ReportLimits& limits) {
  const std::string before = head(result) + kNavigation + title_section(result) + words_section(result) +
                             data_section(context, result) + results_section(result) + calls_section(result) +
                             curves_section(result) + training_section(context, result) +
                             mining_section(context, result);
  const std::string after = appendix_section(context, result, limits) + "</main>\n</body>\n</html>\n";
  const std::size_t text_bytes =
      before.size() + after.size() + slide_list(result, limits.table_rows).size() + kReserve;
  check(text_bytes <= limits.page_bytes, "report: its text alone is {} bytes of the {} allowed", text_bytes,
        limits.page_bytes);
  // Two thirds of the room for slides at most; what they leave is for patches.
  const std::size_t room = limits.page_bytes - text_bytes;
  ByteBudget slide_budget(room / 3 * 2);
  const std::string slides = slides_section(context, result, limits, slide_budget);
  ByteBudget patch_budget(room - (room / 3 * 2 - slide_budget.left()));
  const std::string gallery = gallery_section(context, result, patch_budget);
  return before + slides + gallery + after;
}

void write_report(RunContext& context, const RunResult& result) {
  write_file(context.folder.files().report().string(), report_html(context, result));
}

}  // namespace mt::train
