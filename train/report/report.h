#pragma once
// RUN/report.html: one self-contained page that opens offline.

#include "train/context.h"
#include "train/result.h"

namespace mt::train {

void write_report(RunContext& context, const RunResult& result);

}  // namespace mt::train
