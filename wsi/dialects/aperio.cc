// Aperio SVS: the tiled images are levels, the others thumbnail, label and macro (a label or macro that is
// tiled is told by its subfile type or its description).

#include "wsi/dialects/dialect.h"
#include "wsi/dialects/levels.h"

namespace mt::wsi {
namespace {

// Subfile types that Aperio gives to its pictures beside the pyramid.
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

bool contains_word(const std::string& text, const char* word) {
  return text.find(word) != std::string::npos;
}

std::optional<double> number_of(const std::map<std::string, std::string>& properties, const char* name) {
  const auto found = properties.find(name);
  return found == properties.end() ? std::nullopt : positive_number(found->second);
}

/// Null for a level. A tiled image is one unless its type or its description say otherwise, or, where its
/// type says "reduced" (which a label's does too), its shape.
const char* associated_name(const TiffDirectory& first, const TiffDirectory& directory) {
  const bool is_level = directory.tiled && directory.subfile_type != kMacro && !is_named_picture(directory) &&
                        (directory.subfile_type != kLabel || is_reduction_of(first, directory));
  if (directory.index == 0 || is_level) return nullptr;
  if (directory.subfile_type == kMacro || contains_word(directory.description, "macro")) return "macro";
  if (directory.subfile_type == kLabel || contains_word(directory.description, "label")) return "label";
  return "thumbnail";
}

/// MPP where it is credible, else the resolution tags.
void find_mpp(const TiffDirectory& finest, Facts& facts) {
  facts.mpp_x = facts.mpp_y = number_of(facts.properties, "aperio.MPP");
  facts.mpp_source = "its MPP";
  if (const auto said = facts.properties.find("aperio.MPP"); said != facts.properties.end())
    facts.mpp_text = said->second;
  if (facts.mpp_x && is_credible_mpp(*facts.mpp_x)) return;
  const auto tags = resolution_mpp(finest);
  if (!tags || !is_credible_mpp(tags->x) || !is_credible_mpp(tags->y)) return;
  if (facts.mpp_x) facts.notes.push_back(incredible_mpp(facts.mpp_source, *facts.mpp_x, *facts.mpp_y));
  facts.mpp_x = tags->x;
  facts.mpp_y = tags->y;
  facts.mpp_source = "its resolution tag";
}

Facts open(const TiffFile& file) {
  Facts facts;
  std::vector<const TiffDirectory*> pages;
  for (const TiffDirectory& directory : file.directories()) {
    if (directory.is_subifd) continue;
    if (const char* name = associated_name(file.first(), directory)) {
      facts.associated.emplace(name, &directory);
    } else {
      pages.push_back(&directory);
    }
  }
  add_levels(pages, facts);
  read_description(file.first().description, facts.properties);
  find_mpp(*facts.levels.front().directory, facts);
  facts.objective_power = number_of(facts.properties, "aperio.AppMag");
  facts.missing_tile = MissingTile::neighbouring_level;
  return facts;
}

}  // namespace

const Dialect kAperio = {"aperio", detect, open};

}  // namespace mt::wsi
