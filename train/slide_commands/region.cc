// slide region: any rectangle of a slide as a PNG.

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "tensor/check.h"
#include "train/slide_commands/command.h"
#include "wsi/png.h"
#include "wsi/slide.h"

namespace mt::train {
namespace {

struct RegionOptions {
  SlideArguments slide;
  int64_t x = 0, y = 0, width = 0, height = 0;
  std::string output;
  int level = 0;
  std::optional<double> mpp;
  bool alpha = false;
};

void run(const RegionOptions& options) {
  const auto slide = options.slide.open();
  if (options.alpha) {
    wsi::write_png(options.output, slide->read_region_rgba(options.x, options.y, options.level, options.width,
                                                           options.height));
  } else if (options.mpp) {
    wsi::write_png(options.output,
                   slide->read_at_mpp(options.x, options.y, *options.mpp, options.width, options.height));
  } else {
    wsi::write_png(options.output,
                   slide->read_region(options.x, options.y, options.level, options.width, options.height));
  }
  fmt::print("{}: {} x {} pixels\n", options.output, options.width, options.height);
}

}  // namespace

void add_region_command(CLI::App& program) {
  CLI::App* command = program.add_subcommand("region", "Write a rectangle of a slide as a PNG");
  auto options = std::make_shared<RegionOptions>();
  options->slide.add_to(*command);
  command->add_option("X", options->x, "Left edge, in level-0 pixels")->required();
  command->add_option("Y", options->y, "Upper edge, in level-0 pixels")->required();
  command->add_option("W", options->width, "Pixels of the picture across")
      ->required()
      ->check(CLI::Range(1, 1 << 20));
  command->add_option("H", options->height, "Pixels of the picture down")
      ->required()
      ->check(CLI::Range(1, 1 << 20));
  command->add_option("OUT", options->output, "PNG file to write")->required();
  CLI::Option* level = command->add_option("--level", options->level, "Level of the pyramid; 0 is the finest")
                           ->capture_default_str()
                           ->check(CLI::Range(0, 63));
  CLI::Option* mpp =
      command->add_option("--mpp", options->mpp, "Micrometres per pixel of the picture, instead of a level")
          ->check(CLI::Range(0.001, 1000.0))
          ->excludes(level);
  command->add_flag("--alpha", options->alpha, "Transparent where there is no slide")->excludes(mpp);
  command->footer(
      "Outside the slide the background colour shows.\n"
      "Example: slide region tumor_001.tif 30000 41000 512 512 region.png --mpp 0.5");
  command->callback([options] { run(*options); });
}

}  // namespace mt::train
