// Aperio SVS: every tiled image is a level, in the order of the file; the stripped ones are thumbnail, label
// and macro.

#include "wsi/dialects/dialect.h"

namespace mt::wsi {
namespace {

// Subfile types that Aperio gives to its stripped images.
constexpr uint32_t kLabel = 1, kMacro = 9;

bool detect(const TiffFile& file) {
  return file.first().tiled && file.first().description.starts_with("Aperio");
}

/// "header|key = value|key = value" → aperio.key
void read_description(std::string_view description, std::map<std::string, std::string>& properties) {
  std::size_t bar = description.find('|');
  while (bar != std::string_view::npos) {
    const std::size_t next = description.find('|', bar + 1);
    const std::string_view pair =
        description.substr(bar + 1, next == std::string_view::npos ? next : next - bar - 1);
    const std::size_t equals = pair.find('=');
    if (equals != std::string_view::npos) {
      properties.emplace("aperio." + std::string(trimmed(pair.substr(0, equals))),
                         trimmed(pair.substr(equals + 1)));
    }
    bar = next;
  }
}

std::optional<double> number_of(const std::map<std::string, std::string>& properties, const char* name) {
  const auto found = properties.find(name);
  return found == properties.end() ? std::nullopt : positive_number(found->second);
}

const char* associated_name(const TiffDirectory& directory) {
  if (directory.index == 1) return "thumbnail";
  if (directory.subfile_type == kLabel) return "label";
  if (directory.subfile_type == kMacro) return "macro";
  return nullptr;
}

Facts open(const TiffFile& file) {
  Facts facts;
  for (const TiffDirectory& directory : file.directories()) {
    if (directory.is_subifd) continue;
    if (directory.tiled) {
      facts.levels.push_back({{directory.width, directory.height, 0}, &directory});
    } else if (const char* name = associated_name(directory)) {
      facts.associated.emplace(name, &directory);
    }
  }
  read_description(file.first().description, facts.properties);
  facts.mpp_x = facts.mpp_y = number_of(facts.properties, "aperio.MPP");
  facts.objective_power = number_of(facts.properties, "aperio.AppMag");
  facts.missing_tile = MissingTile::neighbouring_level;
  return facts;
}

}  // namespace

const Dialect kAperio = {"aperio", detect, open};

}  // namespace mt::wsi
