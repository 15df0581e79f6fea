// slide thumb: the whole slide, or a picture stored beside it, as a PNG.

#include <fmt/format.h>

#include "train/cli/slide_commands/command.h"
#include "wsi/png.h"
#include "wsi/slide.h"

namespace mt::train {
void run_thumb(const ThumbOptions& options) {
  const auto slide = options.slide.open();
  const wsi::RgbImage image =
      options.picture.empty() ? slide->thumbnail(options.size) : slide->associated(options.picture);
  wsi::write_png(options.output, image);
  fmt::print("{}: {} x {} pixels\n", options.output, image.width, image.height);
}

}  // namespace mt::train
