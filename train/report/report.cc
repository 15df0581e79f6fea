#include "train/report/report.h"

#include "tensor/io/atomic_file.h"

namespace mt::train {

void write_report(RunContext& context, const RunResult& result) {
  std::string table;
  for (const char c : summary_table(result)) table += c == '<' ? "&lt;" : c == '&' ? "&amp;" : std::string(1, c);
  write_file(context.folder.file("report.html").string(),
             "<!doctype html><meta charset=\"utf-8\"><title>Microtome</title><pre>" + table + "</pre>\n");
}

}  // namespace mt::train
