#include "wsi/tiff/descriptions.h"

#include <fmt/format.h>

namespace mt::wsi {
namespace {

std::string attribute(const char* name, const char* group, const char* element, const char* type,
                      const std::string& value) {
  return fmt::format("<Attribute Name=\"{}\" Group=\"{}\" Element=\"{}\" PMSVR=\"{}\">{}</Attribute>", name,
                     group, element, type, value);
}

std::string array(const std::string& objects) {
  return "<Array>" + objects + "</Array>";
}

std::string object(const char* type, const std::string& attributes) {
  return fmt::format("<DataObject ObjectType=\"{}\">{}</DataObject>", type, attributes);
}

/// Row then column, in millimetres.
std::string pixel_spacing(double mpp) {
  return attribute("DICOM_PIXEL_SPACING", "0x0028", "0x0030", "IDoubleArray",
                   fmt::format("&quot;{0:.9f}&quot; &quot;{0:.9f}&quot;", mpp / 1000));
}

}  // namespace

std::string philips_description(const TiffWriteOptions& options, int levels) {
  const double mpp = options.mpp.value_or(1.0);
  std::string representations;
  for (int level = 0; level < levels; ++level) {
    representations +=
        object("PixelDataRepresentation", pixel_spacing(mpp * (1 << level)) +
                                              attribute("PIIM_PIXEL_DATA_REPRESENTATION_NUMBER", "0x1001",
                                                        "0x8B02", "IUInt16", std::to_string(level)));
  }
  std::string image =
      attribute("PIM_DP_IMAGE_TYPE", "0x301D", "0x1004", "IString", "WSI") +
      attribute("DICOM_DERIVATION_DESCRIPTION", "0x0008", "0x2111", "IString",
                fmt::format("tiff-useBigTIFF={}-useRgb=0-levels=10003,10002,10000,10001-processing=0-q{}",
                            options.big_tiff ? 1 : 0, options.jpeg_quality));
  if (options.mpp) image += pixel_spacing(mpp);
  if (options.mpp) {
    image += attribute("PIIM_PIXEL_DATA_REPRESENTATION_SEQUENCE", "0x1001", "0x8B01", "IDataObjectArray",
                       array(representations));
  }
  return "<?xml version=\"1.0\" encoding=\"UTF-8\" ?>\n" +
         object("DPUfsImport",
                attribute("DICOM_MANUFACTURER", "0x0008", "0x0070", "IString", "Microtome phantom") +
                    attribute("PIM_DP_SCANNED_IMAGES", "0x301D", "0x1003", "IDataObjectArray",
                              array(object("DPScannedImage", image))));
}

std::string aperio_description(const TiffWriteOptions& options, const std::vector<LevelSize>& sizes,
                               int level) {
  const LevelSize& first = sizes.front();
  const LevelSize& size = sizes[static_cast<std::size_t>(level)];
  std::string text = fmt::format("Aperio Image Library v11.2.1\r\n{}x{} [0,0 {}x{}] ({}x{})", first.width,
                                 first.height, first.width, first.height, options.tile, options.tile);
  if (level > 0) text += fmt::format(" -> {}x{}", size.width, size.height);
  if (options.compression == TiffCompression::jpeg)
    text += fmt::format(" JPEG/RGB Q={}", options.jpeg_quality);
  text += fmt::format("|AppMag = {}", options.objective_power);
  if (options.mpp) text += fmt::format("|MPP = {:.4f}", *options.mpp);
  return text + "|ScanScope ID = phantom";
}

}  // namespace mt::wsi
