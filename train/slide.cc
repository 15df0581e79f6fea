// bin/slide: looks at whole-slide images.

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "tensor/check.h"
#include "train/program.h"
#include "train/slide_commands/command.h"
#include "wsi/slide.h"

namespace mt::train {

void SlideArguments::add_to(CLI::App& command) {
  command.add_option("SLIDE", path, "Slide file: Philips TIFF, Aperio SVS or generic tiled TIFF")->required();
  command
      .add_option("--mpp-override", mpp_override,
                  "Micrometres per level-0 pixel, instead of what the file says [default: the file's]")
      ->check(CLI::Range(0.001, 1000.0));
}

std::unique_ptr<wsi::Slide> SlideArguments::open() const {
  wsi::OpenOptions options;
  options.mpp_override = mpp_override;
  return wsi::Slide::open(path, options);
}

namespace {

int run(int argc, char** argv) {
  CLI::App program("Looks at whole-slide images: what they say, how they look.", "slide");
  program.require_subcommand(1);
  program.footer(
      "Example: slide info tumor_001.tif\n`slide COMMAND --help` tells a command's options and defaults.");
  add_info_command(program);
  add_region_command(program);
  add_thumb_command(program);
  add_tissue_command(program);
  add_phantom_command(program);
  try {
    program.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return program.exit(error);  // --help
    throw UsageError(fmt::format("{}; see slide --help", error.what()));
  }
  return 0;
}

}  // namespace
}  // namespace mt::train

int main(int argc, char** argv) {
  return mt::train::program_main([&] { return mt::train::run(argc, argv); });
}
