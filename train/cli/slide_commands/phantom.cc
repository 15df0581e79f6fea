// slide phantom: writes a dataset of phantom slides, laid out as Camelyon16 is.

#include <fmt/format.h>

#include <cstdio>

#include "tensor/check.h"
#include "tensor/parallel.h"
#include "train/cli/slide_commands/command.h"
#include "wsi/phantom/phantom_dataset.h"

namespace mt::train {
void run_phantom(const PhantomOptions& command) {
  wsi::PhantomSetOptions options;
  options.seed = command.seed;
  options.train_slides = command.slides[0];
  options.validation_slides = command.slides[1];
  options.test_slides = command.slides[2];
  options.difficulty = wsi::parse_difficulty(command.difficulty);
  options.dialect = wsi::parse_dialect(command.dialect);
  options.layout = wsi::parse_layout(command.layout);
  if (command.slides[0] + command.slides[1] + command.slides[2] == 0) {
    throw UsageError("--slides 0 0 0 asks for no slide at all");
  }
  if (command.threads > 0) set_thread_count(command.threads);
  options.progress = [](int done, int total) {
    if (done % 20 == 0 || done == total) fmt::print(stderr, "{} of {} slides\n", done, total);
  };
  const wsi::PhantomSetSummary summary = wsi::write_phantom_set(command.folder, options);
  fmt::print("{}: {} slides written, {} were there\n", command.folder, summary.written, summary.kept);
}

}  // namespace mt::train
