#pragma once
// What scanners write into ImageDescription.

#include <string>
#include <vector>

#include "wsi/tiff/writer.h"

namespace mt::wsi {

struct LevelSize {
  int64_t width, height;
};

/// The DPUfsImport document of a Philips slide with `levels` levels.
std::string philips_description(const TiffWriteOptions& options, int levels);
/// Aperio's description of level `level`: banner line, geometry, then `key = value` behind bars.
std::string aperio_description(const TiffWriteOptions& options, const std::vector<LevelSize>& sizes,
                               int level);

}  // namespace mt::wsi
