#include "train/report/report.h"
namespace mt::train { void write_report(RunContext&, const RunResult&) {} }
