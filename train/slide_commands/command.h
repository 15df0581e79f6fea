#pragma once
// The subcommands of bin/slide. To add one: a file here with an add_..._command, its declaration below, a
// line in train/slide.cc's list, a line in train/meson.build.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace CLI {
class App;
}

namespace mt::wsi {
class Slide;
}

namespace mt::train {

/// Each adds one subcommand to `program`; its callback does the work and throws Error or UsageError.
void add_info_command(CLI::App& program);
void add_phantom_command(CLI::App& program);
void add_region_command(CLI::App& program);
void add_thumb_command(CLI::App& program);
void add_tissue_command(CLI::App& program);

/// The options that every command that opens a slide has: the slide itself and --mpp-override.
struct SlideArguments {
  std::string path;
  std::optional<double> mpp_override;

  void add_to(CLI::App& command);
  std::unique_ptr<wsi::Slide> open() const;
};

}  // namespace mt::train
