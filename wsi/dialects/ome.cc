// OME-TIFF: the pyramid is that of a generic TIFF (reductions in SubIFDs, or in the chain); the OME-XML in
// the first description says how large a pixel is and how many channels there are.
// https://docs.openmicroscopy.org/ome-model/latest/ome-tiff/specification.html

#include <fmt/format.h>

#include <array>

#include "tensor/check.h"
#include "wsi/dialects/dialect.h"
#include "wsi/dialects/levels.h"
#include "wsi/xml_within.h"

namespace mt::wsi {
namespace {

bool detect(const TiffFile& file) {
  return file.first().tiled && is_ome_xml(file.first().description);
}

/// The name of a node without its namespace.
std::string_view local_name(const pugi::xml_node& node) {
  const std::string_view name = node.name();
  const std::size_t colon = name.find(':');
  return colon == std::string_view::npos ? name : name.substr(colon + 1);
}

pugi::xml_node child(const pugi::xml_node& parent, std::string_view name) {
  return parent.find_child([&](const pugi::xml_node& node) { return local_name(node) == name; });
}

/// Micrometres of one unit; nothing for "pixel" and "reference frame", which are no lengths.
std::optional<double> micrometres(std::string_view unit) {
  struct Unit {
    std::string_view name;
    double micrometres;
  };
  // The micro sign, the Greek letter, and what people write for both; without a unit it is um.
  constexpr std::array<Unit, 15> kUnits = {{{"", 1},
                                            {"\xC2\xB5m", 1},
                                            {"\xCE\xBCm", 1},
                                            {"um", 1},
                                            {"micron", 1},
                                            {"nm", 1e-3},
                                            {"pm", 1e-6},
                                            {"\xC3\x85", 1e-4},
                                            {"mm", 1e3},
                                            {"cm", 1e4},
                                            {"dm", 1e5},
                                            {"m", 1e6},
                                            {"in", 25400},
                                            {"mil", 25.4},
                                            {"thou", 25.4}}};
  for (const Unit& known : kUnits) {
    if (known.name == unit) return known.micrometres;
  }
  return std::nullopt;
}

std::optional<double> physical_size(const pugi::xml_node& pixels, const char* name, const char* unit_name) {
  const auto value = positive_number(pixels.attribute(name).value());
  const auto unit = micrometres(trimmed(pixels.attribute(unit_name).value()));
  if (!value || !unit) return std::nullopt;
  return *value * *unit;
}

/// The <Image> whose pixels the finest level shows: by its TiffData, by its size, or else the first.
pugi::xml_node image_of(const pugi::xml_node& root, const TiffDirectory& finest) {
  pugi::xml_node by_size, first;
  for (const pugi::xml_node& image : root.children()) {
    if (local_name(image) != "Image") continue;
    const pugi::xml_node pixels = child(image, "Pixels");
    const pugi::xml_node data = child(pixels, "TiffData");
    if (data && data.attribute("IFD") && data.attribute("IFD").as_int(-1) == finest.index) return image;
    const bool fits = pixels.attribute("SizeX").as_llong() == finest.width &&
                      pixels.attribute("SizeY").as_llong() == finest.height;
    if (fits && !by_size) by_size = image;
    if (!first) first = image;
  }
  return by_size ? by_size : first;
}

/// NominalMagnification of the objective that the image names, or of the only one there is.
std::optional<double> objective_power(const pugi::xml_node& root, const pugi::xml_node& image) {
  const std::string_view wanted = child(image, "ObjectiveSettings").attribute("ID").value();
  for (const pugi::xml_node& instrument : root.children()) {
    if (local_name(instrument) != "Instrument") continue;
    for (const pugi::xml_node& objective : instrument.children()) {
      if (local_name(objective) != "Objective") continue;
      if (wanted.empty() || wanted == objective.attribute("ID").value())
        return positive_number(objective.attribute("NominalMagnification").value());
    }
  }
  return std::nullopt;
}

Facts open(const TiffFile& file) {
  const std::string& text = file.first().description;
  pugi::xml_document document;
  parse_xml_within(text, "OME-XML", document);
  const pugi::xml_node root = child(document, "OME");
  check(!root.empty(), "OME-XML: the root is not OME");

  Facts facts;
  add_levels(pyramid_pages(file), facts);
  const TiffDirectory& finest = *facts.levels.front().directory;
  const pugi::xml_node image = image_of(root, finest);
  const pugi::xml_node pixels = child(image, "Pixels");
  const auto channels = pixels.attribute("SizeC").as_llong(1);
  check(finest.samples > 2 || channels <= 1,
        "an OME-TIFF of {} channels (fluorescence); only brightfield slides are read: write one RGB image",
        channels);
  facts.mpp_x = physical_size(pixels, "PhysicalSizeX", "PhysicalSizeXUnit");
  facts.mpp_y = physical_size(pixels, "PhysicalSizeY", "PhysicalSizeYUnit");
  facts.mpp_source = "its PhysicalSizeX";
  facts.mpp_text = fmt::format("{}", trimmed(fmt::format("{} {}", pixels.attribute("PhysicalSizeX").value(),
                                                         pixels.attribute("PhysicalSizeXUnit").value())));
  facts.objective_power = objective_power(root, image);
  if (const std::string_view name = image.attribute("Name").value(); !name.empty())
    facts.properties.emplace("ome.Name", name);
  return facts;
}

}  // namespace

bool is_ome_xml(std::string_view description) {
  const std::string_view text = trimmed(description);
  return text.ends_with("OME>") && text.find("openmicroscopy.org") != std::string_view::npos;
}

const Dialect kOme = {"ome", detect, open};

}  // namespace mt::wsi
