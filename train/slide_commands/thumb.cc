// slide thumb: the whole slide, or a picture stored beside it, as a PNG.

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "train/slide_commands/command.h"
#include "wsi/png.h"
#include "wsi/slide.h"

namespace mt::train {
namespace {

struct ThumbOptions {
  SlideArguments slide;
  std::string output;
  int64_t size = 1024;
  std::string picture;
};

void run(const ThumbOptions& options) {
  const auto slide = options.slide.open();
  const wsi::RgbImage image =
      options.picture.empty() ? slide->thumbnail(options.size) : slide->associated(options.picture);
  wsi::write_png(options.output, image);
  fmt::print("{}: {} x {} pixels\n", options.output, image.width, image.height);
}

}  // namespace

void add_thumb_command(CLI::App& program) {
  CLI::App* command = program.add_subcommand("thumb", "Write the whole slide as a small PNG");
  auto options = std::make_shared<ThumbOptions>();
  options->slide.add_to(*command);
  command->add_option("OUT", options->output, "PNG file to write")->required();
  CLI::Option* size = command->add_option("--size", options->size, "Pixels of the longer side")
                          ->capture_default_str()
                          ->check(CLI::Range(1, 16384));
  command->add_option("--picture", options->picture, "A stored picture instead: label, macro or thumbnail")
      ->excludes(size);
  command->footer("Example: slide thumb tumor_001.tif thumb.png --size 2000");
  command->callback([options] { run(*options); });
}

}  // namespace mt::train
