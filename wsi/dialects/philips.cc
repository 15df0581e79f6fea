// Philips TIFF, the format of Camelyon16. The XML in the first description says what the slide is; the images
// are padded to whole tiles, so the true size of a level comes from the ratio of its pixel spacing to that of
// level 0.

#include <cmath>
#include <cstring>

#include "tensor/check.h"
#include "wsi/dialects/dialect.h"
#include "wsi/dialects/levels.h"
#include "wsi/xml_within.h"

namespace mt::wsi {
namespace {

bool detect(const TiffFile& file) {
  const TiffDirectory& first = file.first();
  return first.tiled && first.software.starts_with("Philips") &&
         first.description.find("DPUfsImport") != std::string::npos;
}

/// The child <Attribute Name="name">.
pugi::xml_node attribute(const pugi::xml_node& object, const char* name) {
  return object.find_child_by_attribute("Attribute", "Name", name);
}

/// Micrometres per pixel.
struct Spacing {
  double x, y;
};

/// DICOM_PIXEL_SPACING: "row spacing" "column spacing" in mm. The row spacing is the distance between rows,
/// so it is y.
std::optional<Spacing> spacing_of(const pugi::xml_node& object) {
  const std::string_view text = attribute(object, "DICOM_PIXEL_SPACING").text().get();
  const std::size_t end_of_first = text.find_first_of(" \t\r\n", text.find_first_not_of(" \t\r\n\""));
  if (end_of_first == std::string_view::npos) return std::nullopt;
  const auto row = positive_number(text.substr(0, end_of_first)),
             column = positive_number(text.substr(end_of_first));
  if (!row || !column) return std::nullopt;
  return Spacing{*column * 1000, *row * 1000};
}

/// Spacings of the levels, finest first, as far as the XML has them.
std::vector<Spacing> level_spacings(const pugi::xml_node& image) {
  std::vector<Spacing> spacings;
  const pugi::xml_node sequence = attribute(image, "PIIM_PIXEL_DATA_REPRESENTATION_SEQUENCE").child("Array");
  for (const pugi::xml_node& level : sequence.children("DataObject")) {
    const auto spacing = spacing_of(level);
    if (!spacing) break;
    spacings.push_back(*spacing);
  }
  return spacings;
}

int base64_value(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/// Stops at the padding; skips line breaks.
std::vector<uint8_t> from_base64(const char* text) {
  std::vector<uint8_t> bytes;
  bytes.reserve(std::strlen(text) / 4 * 3 + 3);
  uint32_t buffer = 0;
  int bits = 0;
  for (; *text != '\0' && *text != '='; ++text) {
    const int value = base64_value(*text);
    if (value < 0) continue;
    buffer = buffer << 6 | static_cast<uint32_t>(value);
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      bytes.push_back(static_cast<uint8_t>(buffer >> bits & 0xFF));
    }
  }
  return bytes;
}

const char* associated_name(const TiffDirectory& directory) {
  if (directory.description.starts_with("Label")) return "label";
  if (directory.description.starts_with("Macro")) return "macro";
  return nullptr;
}

/// Every <Attribute> with text directly below `object`: philips.NAME.
void add_properties(const pugi::xml_node& object, Facts& facts) {
  for (const pugi::xml_node& node : object.children("Attribute")) {
    const std::string_view name = node.attribute("Name").value(), value = trimmed(node.text().get());
    if (!value.empty() && name != "PIM_DP_IMAGE_DATA") {
      facts.properties.emplace("philips." + std::string(name), std::string(value));
    }
  }
}

/// The one image of type WSI; label and macro go to facts.associated on the way.
pugi::xml_node find_slide_image(const pugi::xml_node& root, Facts& facts) {
  pugi::xml_node slide;
  const pugi::xml_node images = attribute(root, "PIM_DP_SCANNED_IMAGES").child("Array");
  for (const pugi::xml_node& image : images.children("DataObject")) {
    const std::string_view type = attribute(image, "PIM_DP_IMAGE_TYPE").text().get();
    const char* data = attribute(image, "PIM_DP_IMAGE_DATA").text().get();
    if (type == "WSI") {
      check(!slide, "Philips XML: more than one image of type WSI");
      slide = image;
    } else if (type == "LABELIMAGE" && data[0] != '\0') {
      facts.associated.emplace("label", from_base64(data));
    } else if (type == "MACROIMAGE" && data[0] != '\0') {
      facts.associated.emplace("macro", from_base64(data));
    }
  }
  check(!slide.empty(), "Philips XML: no image of type WSI");
  return slide;
}

/// Level sizes without the padding: level 0 divided by the rounded ratio of the spacings.
void set_true_sizes(const std::vector<Spacing>& spacings, std::vector<LevelSource>& levels) {
  for (std::size_t i = 1; i < levels.size() && i < spacings.size(); ++i) {
    const double ratio_x = std::round(spacings[i].x / spacings[0].x),
                 ratio_y = std::round(spacings[i].y / spacings[0].y);
    check(ratio_x >= 1 && ratio_y >= 1, "Philips XML: level {} is finer than level 0", i);
    Level& level = levels[i].level;
    level.width = static_cast<int64_t>(static_cast<double>(levels[0].level.width) / ratio_x);
    level.height = static_cast<int64_t>(static_cast<double>(levels[0].level.height) / ratio_y);
    level.downsample = (ratio_x + ratio_y) / 2;
  }
}

Facts open(const TiffFile& file) {
  pugi::xml_document document;
  const std::string& text = file.first().description;
  parse_xml_within(text, "Philips XML", document);
  const pugi::xml_node root = document.child("DataObject");
  check(std::string_view(root.attribute("ObjectType").value()) == "DPUfsImport",
        "Philips XML: the root is not a DPUfsImport");

  Facts facts;
  for (const TiffDirectory& directory : file.directories()) {
    const bool later = directory.index > 0 || directory.is_subifd;
    if (const char* name = later ? associated_name(directory) : nullptr) {
      facts.associated.emplace(name, &directory);
    } else if (directory.tiled && !directory.is_subifd &&
               (!later || (directory.subfile_type & kTiffReducedImage) != 0)) {
      // Levels are padded to whole tiles.
      if (!later || is_reduction_of(file.first(), directory, directory.chunk_width, directory.chunk_height)) {
        facts.levels.push_back({{directory.width, directory.height, 0}, &directory});
      } else {
        facts.notes.push_back(
            fmt::format("image {} ({} x {} pixels) is no reduction of the slide and is left out",
                        directory.index, directory.width, directory.height));
      }
    }
  }
  const pugi::xml_node image = find_slide_image(root, facts);
  add_properties(root, facts);
  add_properties(image, facts);
  const std::vector<Spacing> spacings = level_spacings(image);
  set_true_sizes(spacings, facts.levels);
  const auto spacing = spacings.empty() ? spacing_of(image) : std::optional(spacings[0]);
  facts.mpp_source = "its pixel spacing";
  facts.mpp_text = trimmed(attribute(image, "DICOM_PIXEL_SPACING").text().get());
  if (spacing) {
    facts.mpp_x = spacing->x;
    facts.mpp_y = spacing->y;
  }
  return facts;
}

}  // namespace

const Dialect kPhilips = {"philips", detect, open};

}  // namespace mt::wsi
