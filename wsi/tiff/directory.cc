#include "wsi/tiff/directory.h"

#include <tiffio.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <memory>
#include <set>

#include "tensor/check.h"

namespace mt::wsi {
namespace {

constexpr std::size_t kMaxDirectories = 4096;

/// The first thing that libtiff complained about; errors before warnings. One per open file, so no locks are
/// needed.
struct Complaints {
  std::string error, warning;
  std::string text() const {
    if (!error.empty()) return error;
    return warning.empty() ? "libtiff gives no reason" : warning;
  }
};

/// Keeps one line of text, without the file's name that libtiff sometimes puts before it.
void keep(std::string& slot, TIFF* tiff, const char* format, va_list arguments) {
  if (!slot.empty()) return;
  char text[1024];
  std::vsnprintf(text, sizeof text, format, arguments);
  slot = text;
  const std::string name = tiff != nullptr ? std::string(TIFFFileName(tiff)) + ": " : std::string();
  if (!name.empty() && slot.starts_with(name)) slot.erase(0, name.size());
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < ' '; };
  std::replace_if(slot.begin(), slot.end(), is_control, ' ');
}

int on_error(TIFF* tiff, void* complaints, const char*, const char* format, va_list arguments) {
  keep(static_cast<Complaints*>(complaints)->error, tiff, format, arguments);
  return 1;  // nothing is printed
}

int on_warning(TIFF* tiff, void* complaints, const char*, const char* format, va_list arguments) {
  keep(static_cast<Complaints*>(complaints)->warning, tiff, format, arguments);
  return 1;
}

struct CloseTiff {
  void operator()(TIFF* tiff) const { TIFFClose(tiff); }
};
using TiffHandle = std::unique_ptr<TIFF, CloseTiff>;

TiffHandle open_tiff(const std::filesystem::path& path, uint64_t file_size, Complaints& complaints) {
  const std::unique_ptr<TIFFOpenOptions, void (*)(TIFFOpenOptions*)> options(TIFFOpenOptionsAlloc(),
                                                                             TIFFOpenOptionsFree);
  TIFFOpenOptionsSetErrorHandlerExtR(options.get(), on_error, &complaints);
  TIFFOpenOptionsSetWarningHandlerExtR(options.get(), on_warning, &complaints);
  // An array of 16-bit values in the file becomes one of 64-bit values in memory: four times the file is the
  // most.
  const uint64_t limit = std::min<uint64_t>(file_size * 4 + (1U << 20), uint64_t{1} << 40);
  TIFFOpenOptionsSetMaxSingleMemAlloc(options.get(), static_cast<tmsize_t>(limit));
  // m: no memory mapping (a file that shrinks would kill the process); c: strips as they are.
  return TiffHandle(TIFFOpenExt(path.c_str(), "rmc", options.get()));
}

std::string text_tag(TIFF* tiff, uint32_t tag) {
  char* text = nullptr;
  return TIFFGetField(tiff, tag, &text) == 1 && text != nullptr ? std::string(text) : std::string();
}

double real_tag(TIFF* tiff, uint32_t tag) {
  float value = 0;
  return TIFFGetField(tiff, tag, &value) == 1 ? static_cast<double>(value) : 0.0;
}

std::vector<uint8_t> bytes_tag(TIFF* tiff, uint32_t tag) {
  uint32_t count = 0;
  const uint8_t* data = nullptr;
  if (TIFFGetField(tiff, tag, &count, &data) != 1 || data == nullptr) return {};
  return {data, data + count};
}

void read_geometry(TIFF* tiff, TiffDirectory& directory) {
  uint32_t width = 0, height = 0, chunk_width = 0, chunk_height = 0;
  TIFFGetField(tiff, TIFFTAG_IMAGEWIDTH, &width);
  TIFFGetField(tiff, TIFFTAG_IMAGELENGTH, &height);
  directory.tiled = TIFFIsTiled(tiff) != 0;
  if (directory.tiled) {
    TIFFGetField(tiff, TIFFTAG_TILEWIDTH, &chunk_width);
    TIFFGetField(tiff, TIFFTAG_TILELENGTH, &chunk_height);
  } else {
    TIFFGetFieldDefaulted(tiff, TIFFTAG_ROWSPERSTRIP, &chunk_height);
    chunk_width = width;
    chunk_height = std::min(chunk_height, height);  // "all rows in one strip" is written as 2^32 - 1
  }
  check(width > 0 && height > 0 && chunk_width > 0 && chunk_height > 0,
        "image {} is {}x{} with tiles of {}x{}: nothing to read", directory.index, width, height, chunk_width,
        chunk_height);
  check(std::max({width, height, chunk_width, chunk_height}) <= INT32_MAX,
        "image {} is {}x{} with tiles of {}x{}: larger than any slide", directory.index, width, height,
        chunk_width, chunk_height);
  directory.width = width;
  directory.height = height;
  directory.chunk_width = chunk_width;
  directory.chunk_height = chunk_height;
}

void read_chunk_places(TIFF* tiff, TiffDirectory& directory) {
  const uint64_t planes = directory.planar_configuration == PLANARCONFIG_SEPARATE ? directory.samples : 1;
  const uint64_t chunks = static_cast<uint64_t>(directory.chunks_across() * directory.chunks_down()) * planes;
  const uint64_t known = directory.tiled ? TIFFNumberOfTiles(tiff) : TIFFNumberOfStrips(tiff);
  const uint64_t *offsets = nullptr, *byte_counts = nullptr;
  TIFFGetField(tiff, directory.tiled ? TIFFTAG_TILEOFFSETS : TIFFTAG_STRIPOFFSETS, &offsets);
  TIFFGetField(tiff, directory.tiled ? TIFFTAG_TILEBYTECOUNTS : TIFFTAG_STRIPBYTECOUNTS, &byte_counts);
  check(offsets != nullptr && byte_counts != nullptr && known == chunks && chunks <= UINT32_MAX,
        "image {} does not say where its {} tiles or strips are", directory.index, chunks);
  directory.offsets.assign(offsets, offsets + chunks);
  directory.byte_counts.assign(byte_counts, byte_counts + chunks);
}

TiffDirectory read_directory(TIFF* tiff, int index, bool is_subifd) {
  TiffDirectory directory;
  directory.index = index;
  directory.is_subifd = is_subifd;
  read_geometry(tiff, directory);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_COMPRESSION, &directory.compression);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLESPERPIXEL, &directory.samples);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_BITSPERSAMPLE, &directory.bits);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_PLANARCONFIG, &directory.planar_configuration);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_FILLORDER, &directory.fill_order);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_RESOLUTIONUNIT, &directory.resolution_unit);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_SUBFILETYPE, &directory.subfile_type);
  TIFFGetField(tiff, TIFFTAG_PHOTOMETRIC, &directory.photometric);
  if (directory.compression == kTiffLzw || directory.compression == kTiffDeflate ||
      directory.compression == kTiffOldDeflate) {
    TIFFGetFieldDefaulted(tiff, TIFFTAG_PREDICTOR, &directory.predictor);
  }
  if (directory.compression == kTiffJpeg) directory.jpeg_tables = bytes_tag(tiff, TIFFTAG_JPEGTABLES);
  const std::vector<uint8_t> xmp = bytes_tag(tiff, TIFFTAG_XMLPACKET);
  directory.xmp.assign(xmp.begin(), xmp.end());
  directory.x_resolution = real_tag(tiff, TIFFTAG_XRESOLUTION);
  directory.y_resolution = real_tag(tiff, TIFFTAG_YRESOLUTION);
  directory.description = text_tag(tiff, TIFFTAG_IMAGEDESCRIPTION);
  directory.software = text_tag(tiff, TIFFTAG_SOFTWARE);
  directory.make = text_tag(tiff, TIFFTAG_MAKE);
  directory.model = text_tag(tiff, TIFFTAG_MODEL);
  directory.date_time = text_tag(tiff, TIFFTAG_DATETIME);
  read_chunk_places(tiff, directory);
  return directory;
}

std::vector<uint64_t> subifd_offsets(TIFF* tiff) {
  uint16_t count = 0;
  const uint64_t* offsets = nullptr;
  if (TIFFGetField(tiff, TIFFTAG_SUBIFD, &count, &offsets) != 1 || offsets == nullptr) return {};
  return {offsets, offsets + count};
}

std::vector<TiffDirectory> read_all(TIFF* tiff, const Complaints& complaints) {
  std::vector<TiffDirectory> directories;
  std::vector<std::pair<int, uint64_t>> sub_directories;  // (index of the parent, offset)
  std::set<uint64_t> visited;
  for (int index = 0;; ++index) {
    check(visited.insert(TIFFCurrentDirOffset(tiff)).second, "its chain of images runs in a circle");
    check(directories.size() < kMaxDirectories, "more than {} images", kMaxDirectories);
    directories.push_back(read_directory(tiff, index, false));
    for (const uint64_t offset : subifd_offsets(tiff)) sub_directories.emplace_back(index, offset);
    if (TIFFLastDirectory(tiff) != 0) break;
    const bool readable = TIFFReadDirectory(tiff) == 1;
    check(readable, "image {} cannot be read: {}", index + 1, complaints.text());
  }
  for (const auto& [parent, offset] : sub_directories) {
    check(visited.insert(offset).second, "two images share one directory, or they run in a circle");
    check(directories.size() < kMaxDirectories, "more than {} images", kMaxDirectories);
    const bool readable = TIFFSetSubDirectory(tiff, offset) == 1;
    check(readable, "a sub-image of image {} cannot be read: {}", parent, complaints.text());
    directories.push_back(read_directory(tiff, parent, true));
  }
  return directories;
}

}  // namespace

TiffFile::TiffFile(const std::filesystem::path& path) : path_(path), bytes_(path) {
  Complaints complaints;
  try {
    const TiffHandle tiff = open_tiff(path, bytes_.size(), complaints);
    check(tiff != nullptr, "not a readable TIFF: {}", complaints.text());
    directories_ = read_all(tiff.get(), complaints);
  } catch (const Error& error) {
    fail("{}: {}", path.string(), error.what());
  }
}

}  // namespace mt::wsi
