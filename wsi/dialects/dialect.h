#pragma once
// The dialects of TIFF that slides are written in: two functions each. To add one: a file here, and a line in
// the table.

#include <filesystem>
#include <memory>
#include <span>
#include <string_view>

#include "wsi/pyramid.h"

namespace mt::wsi {

struct Dialect {
  const char* name;
  /// Whether the file is of this dialect. Looks at tags only, and is asked in the order of the table.
  bool (*detect)(const TiffFile& file);
  /// Reads levels, physical size and so on. Throws Error (without the file's name) when the file breaks the
  /// dialect's rules.
  Facts (*open)(const TiffFile& file);
};

extern const Dialect kPhilips;
extern const Dialect kAperio;
extern const Dialect kOme;
extern const Dialect kGeneric;

std::span<const Dialect* const> dialects();

/// Opens the file as the first dialect that detects it. Throws Error with one line that names the file.
std::unique_ptr<Pyramid> open_pyramid(const std::filesystem::path& path, const OpenOptions& options);

/// The note on a physical size outside of the credible range.
std::string incredible_mpp(const std::string& source, double x, double y);

/// The number at the start of `text` (blanks and one quote before it allowed, decimal comma too); nothing
/// when there is none or it is not finite and positive.
std::optional<double> positive_number(std::string_view text);
/// Whether an ImageDescription is OME-XML.
bool is_ome_xml(std::string_view description);
/// `text` without blanks at its ends.
std::string_view trimmed(std::string_view text);

}  // namespace mt::wsi
