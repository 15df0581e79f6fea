#pragma once
// Files that are no slide of a dialect here, by their name, and what makes one of them.

#include <filesystem>
#include <optional>
#include <string>

#include "wsi/tiff/directory.h"

namespace mt::wsi {

/// What a file is that does not begin like a TIFF, from its first bytes and its ending; one line with the
/// remedy.
std::string describe_foreign_file(const RandomAccessFile& bytes, const std::filesystem::path& path);

/// A slide in a TIFF whose tiles or images have to be joined by rules that are not known here, or which is no
/// brightfield slide; nothing for the others. `first` looks at the first directory before libtiff does.
std::optional<std::string> describe_foreign_tiff(const RandomAccessFile& bytes);
std::optional<std::string> describe_foreign_tiff(const TiffFile& file);

/// Why a TIFF whose first image is in strips is not read, and the remedy.
std::string describe_untiled_tiff(const TiffFile& file);

}  // namespace mt::wsi
