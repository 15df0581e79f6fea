// slide region: any rectangle of a slide as a PNG.

#include <fmt/format.h>

#include "tensor/check.h"
#include "train/cli/slide_commands/command.h"
#include "wsi/png.h"
#include "wsi/slide.h"

namespace mt::train {
void run_region(const RegionOptions& options) {
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

}  // namespace mt::train
