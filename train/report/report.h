#pragma once
// RUN/report.html: one self-contained page that opens offline.

#include <cstddef>
#include <string>

#include "train/run/context.h"
#include "train/run/result.h"

namespace mt::train {

struct ReportLimits {
  std::size_t page_bytes =
      25'000'000;                // of the whole file; pictures that do not fit are left out and counted
  std::size_t slides = 24;       // test slides with pictures
  std::size_t table_rows = 400;  // of lists that grow with the dataset
};

/// The page: HTML with inline styles, SVG curves and JPEG pictures; no scripts, nothing from a network. Text
/// comes first in the budget, then slides, then mined patches. A picture that cannot be read becomes a line
/// that says why. Throws Error when the text alone does not fit.
std::string report_html(RunContext& context, const RunResult& result, const ReportLimits& limits = {});

/// Writes RUN/report.html atomically.
void write_report(RunContext& context, const RunResult& result);

}  // namespace mt::train
