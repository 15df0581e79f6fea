// slide phantom: writes a dataset of phantom slides, laid out as Camelyon16 is.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "tensor/check.h"
#include "tensor/parallel.h"
#include "train/slide_commands/command.h"
#include "wsi/phantom/dataset.h"

namespace mt::train {
namespace {

struct PhantomCommand {
  std::string folder;
  std::vector<int> slides = {100, 30, 50};
  uint64_t seed = 1;
  std::string difficulty = "default";
  std::string dialect = "philips";
  std::string layout = "official";
  int threads = 0;
};

void run(const PhantomCommand& command) {
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

}  // namespace

void add_phantom_command(CLI::App& program) {
  CLI::App* command =
      program.add_subcommand("phantom", "Write a dataset of phantom slides in Camelyon16's layout; resumes");
  auto options = std::make_shared<PhantomCommand>();
  command->add_option("FOLDER", options->folder, "Folder to write into")->required();
  command
      ->add_option("--slides", options->slides, "Slides for training, validation and test; half carry tumour")
      ->expected(3)
      ->capture_default_str()
      ->check(CLI::Range(0, 100000));
  command->add_option("--seed", options->seed, "Another seed, other slides")->capture_default_str();
  command
      ->add_option("--difficulty", options->difficulty,
                   "default: 5-30 % of the tissue is tumour; hard: 1-10 %")
      ->capture_default_str();
  command->add_option("--dialect", options->dialect, "philips (as Camelyon16), generic or aperio")
      ->capture_default_str();
  command
      ->add_option("--layout", options->layout,
                   "official (training/, testing/) or bucket (images/, annotations/)")
      ->capture_default_str();
  command->add_option("--threads", options->threads, "Threads; 0 = one per core")
      ->capture_default_str()
      ->check(CLI::Range(0, 1024));
  command->footer("Example: slide phantom phantom-set --slides 10 4 6 --difficulty hard");
  command->callback([options] { run(*options); });
}

}  // namespace mt::train
