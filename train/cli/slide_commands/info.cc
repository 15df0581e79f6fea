// slide info: what a slide says about itself.

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "train/cli/slide_commands/command.h"
#include "wsi/slide.h"

namespace mt::train {
namespace {

nlohmann::ordered_json or_null(const std::optional<double>& value) {
  return value ? nlohmann::ordered_json(*value) : nlohmann::ordered_json(nullptr);
}

void print_json(const wsi::Slide& slide) {
  nlohmann::ordered_json info;
  info["path"] = slide.path().string();
  info["format"] = slide.dialect();
  info["mpp_x"] = or_null(slide.mpp_x());
  info["mpp_y"] = or_null(slide.mpp_y());
  info["objective_power"] = or_null(slide.objective_power());
  info["background"] = slide.background();
  for (int i = 0; i < slide.level_count(); ++i) {
    const wsi::Level& level = slide.levels()[static_cast<std::size_t>(i)];
    info["levels"].push_back({{"width", level.width},
                              {"height", level.height},
                              {"downsample", level.downsample},
                              {"tiles", slide.tile_count(i)},
                              {"missing_tiles", slide.missing_tiles(i)}});
  }
  info["notes"] = slide.notes();
  info["associated"] = slide.associated_names();
  info["properties"] = slide.properties();
  // Text in slides is not always UTF-8; what is not becomes U+FFFD.
  fmt::print("{}\n", info.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
}

/// One line of at most `longest` characters, without control characters.
std::string shortened(const std::string& text, std::size_t longest = 100) {
  std::string line = text.substr(0, longest);
  for (char& c : line) {
    if (static_cast<unsigned char>(c) < ' ' || c == '\x7f') c = ' ';
  }
  return text.size() > line.size() ? line + "…" : line;
}

void print_text(const wsi::Slide& slide) {
  fmt::print("{}\n  format      {}\n", slide.path().string(), slide.dialect());
  if (slide.mpp()) {
    fmt::print("  pixel size  {:.6g} x {:.6g} um\n", *slide.mpp_x(), *slide.mpp_y());
  } else {
    fmt::print("  pixel size  unknown (give it with --mpp-override)\n");
  }
  if (slide.objective_power()) fmt::print("  objective   {:g}x\n", *slide.objective_power());
  for (int i = 0; i < slide.level_count(); ++i) {
    const wsi::Level& level = slide.levels()[static_cast<std::size_t>(i)];
    fmt::print("  level {:<5} {} x {}, downsample {:.6g}", i, level.width, level.height, level.downsample);
    if (slide.mpp()) fmt::print(", {:.4g} um/px", *slide.mpp() * level.downsample);
    if (const int64_t missing = slide.missing_tiles(i); missing > 0)
      fmt::print(", {} of {} tiles missing", missing, slide.tile_count(i));
    fmt::print("\n");
  }
  for (const std::string& note : slide.notes()) fmt::print("  note        {}\n", shortened(note, 400));
  for (const std::string& name : slide.associated_names()) fmt::print("  picture     {}\n", name);
  for (const auto& [name, value] : slide.properties()) fmt::print("  {} = {}\n", name, shortened(value));
}

}  // namespace

void run_info(const InfoOptions& options) {
  const auto slide = options.slide.open();
  options.json ? print_json(*slide) : print_text(*slide);
}

}  // namespace mt::train
