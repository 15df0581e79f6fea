#include "wsi/tiff/directory.h"

#include <tiffio.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <memory>
#include <set>

#include "tensor/check.h"
#include "wsi/tiff/raw_directory.h"

namespace mt::wsi {
namespace {

constexpr std::size_t kMaxDirectories = 1024;
constexpr std::size_t kMaxText = std::size_t{16} << 20;  // Philips' XML with its pictures has a few MB
constexpr uint64_t kMebibyte = 1 << 20;

/// The last thing that libtiff complained about; errors before warnings. (It reports as errors what it only
/// passes over, and then stops at the one that counts.) One per open file, so no locks are needed.
struct Complaints {
  std::string error, warning;
  void clear() { error.clear(), warning.clear(); }
  std::string text() const {
    if (!error.empty()) return error;
    return warning.empty() ? "libtiff gives no reason" : warning;
  }
};

/// Keeps one line of text, without the file's name that libtiff sometimes puts before it.
void keep(std::string& slot, TIFF* tiff, const char* format, va_list arguments) {
  char text[1024];
  std::vsnprintf(text, sizeof text, format, arguments);
  // This follows the reason why it failed.
  if (!slot.empty() && std::string_view(text).starts_with("Failed to read directory")) return;
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

/// Bytes that the directories of one file may still ask for. Their values do not overlap in any honest file,
/// so what they refer to in all is no more than the file, and an entry of a tile (at least 4 bytes of place
/// and 2 of size) becomes 16 bytes in memory.
struct Budget {
  explicit Budget(uint64_t file_size)
      : referred(2 * file_size + 16 * kMebibyte), kept(3 * file_size + kMebibyte) {}
  uint64_t referred;  // read by libtiff
  uint64_t kept;      // in TiffDirectory
  static void take(uint64_t& left, uint64_t bytes) {
    check(bytes <= left, "its directories refer to more bytes than the file has");
    left -= bytes;
  }
};

TiffHandle open_tiff(const std::filesystem::path& path, uint64_t file_size, Complaints& complaints) {
  const std::unique_ptr<TIFFOpenOptions, void (*)(TIFFOpenOptions*)> options(TIFFOpenOptionsAlloc(),
                                                                             TIFFOpenOptionsFree);
  TIFFOpenOptionsSetErrorHandlerExtR(options.get(), on_error, &complaints);
  TIFFOpenOptionsSetWarningHandlerExtR(options.get(), on_warning, &complaints);
  const uint64_t limit = std::min<uint64_t>(file_size * 3 + kMebibyte, uint64_t{1} << 40);
  TIFFOpenOptionsSetMaxSingleMemAlloc(options.get(), static_cast<tmsize_t>(limit));
  // m: no memory mapping (a file that shrinks would kill the process); c: strips as they are; h: no directory
  // yet; D: places of tiles only when asked for, after their number has been checked.
  return TiffHandle(TIFFOpenExt(path.c_str(), "rmchD", options.get()));
}

std::string text_tag(TIFF* tiff, uint32_t tag, Budget& budget) {
  char* text = nullptr;
  if (TIFFGetField(tiff, tag, &text) != 1 || text == nullptr) return {};
  const std::size_t length = std::strlen(text);
  check(length <= kMaxText, "its text in tag {} has {} bytes; at most {} make sense", tag, length, kMaxText);
  Budget::take(budget.kept, length);
  return text;
}

double real_tag(TIFF* tiff, uint32_t tag) {
  float value = 0;
  return TIFFGetField(tiff, tag, &value) == 1 ? static_cast<double>(value) : 0.0;
}

std::vector<uint8_t> bytes_tag(TIFF* tiff, uint32_t tag, Budget& budget) {
  uint32_t count = 0;
  const uint8_t* data = nullptr;
  if (TIFFGetField(tiff, tag, &count, &data) != 1 || data == nullptr) return {};
  check(count <= kMaxText, "its tag {} has {} bytes; at most {} make sense", tag, count, kMaxText);
  Budget::take(budget.kept, count);
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

/// A fourth sample of RGB, or a second of grey, whose meaning is said. One without a meaning is not alpha.
TiffAlpha alpha_of(TIFF* tiff, const TiffDirectory& directory) {
  uint16_t count = 0;
  const uint16_t* kinds = nullptr;
  if (TIFFGetField(tiff, TIFFTAG_EXTRASAMPLES, &count, &kinds) != 1 || count == 0 || kinds == nullptr ||
      (directory.samples != 2 && directory.samples != 4)) {
    return TiffAlpha::none;
  }
  if (kinds[0] == EXTRASAMPLE_ASSOCALPHA) return TiffAlpha::associated;
  return kinds[0] == EXTRASAMPLE_UNASSALPHA ? TiffAlpha::unassociated : TiffAlpha::none;
}

void read_chunk_places(TIFF* tiff, TiffDirectory& directory, Budget& budget) {
  const uint64_t chunks =
      static_cast<uint64_t>(directory.chunks()) * static_cast<uint64_t>(directory.planes());
  check(chunks <= UINT32_MAX, "image {} has {} tiles", directory.index, chunks);
  Budget::take(budget.kept, chunks * 2 * sizeof(uint64_t));
  const uint64_t known = directory.tiled ? TIFFNumberOfTiles(tiff) : TIFFNumberOfStrips(tiff);
  const uint64_t *offsets = nullptr, *byte_counts = nullptr;
  TIFFGetField(tiff, directory.tiled ? TIFFTAG_TILEOFFSETS : TIFFTAG_STRIPOFFSETS, &offsets);
  TIFFGetField(tiff, directory.tiled ? TIFFTAG_TILEBYTECOUNTS : TIFFTAG_STRIPBYTECOUNTS, &byte_counts);
  check(offsets != nullptr && byte_counts != nullptr && known == chunks,
        "image {} does not say where its {} tiles or strips are", directory.index, chunks);
  directory.offsets.assign(offsets, offsets + chunks);
  directory.byte_counts.assign(byte_counts, byte_counts + chunks);
}

TiffDirectory read_directory(TIFF* tiff, const RawDirectory& raw, int index, bool is_subifd, Budget& budget) {
  TiffDirectory directory;
  directory.index = index;
  directory.is_subifd = is_subifd;
  read_geometry(tiff, directory);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_COMPRESSION, &directory.compression);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLESPERPIXEL, &directory.samples);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_BITSPERSAMPLE, &directory.bits);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLEFORMAT, &directory.sample_format);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_PLANARCONFIG, &directory.planar_configuration);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_FILLORDER, &directory.fill_order);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_ORIENTATION, &directory.orientation);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_SUBFILETYPE, &directory.subfile_type);
  TIFFGetField(tiff, TIFFTAG_PHOTOMETRIC, &directory.photometric);
  directory.alpha = alpha_of(tiff, directory);
  if (directory.compression == kTiffLzw || directory.compression == kTiffDeflate ||
      directory.compression == kTiffOldDeflate) {
    TIFFGetFieldDefaulted(tiff, TIFFTAG_PREDICTOR, &directory.predictor);
  }
  if (directory.compression == kTiffJpeg) directory.jpeg_tables = bytes_tag(tiff, TIFFTAG_JPEGTABLES, budget);
  const std::vector<uint8_t> xmp = bytes_tag(tiff, TIFFTAG_XMLPACKET, budget);
  directory.xmp.assign(xmp.begin(), xmp.end());
  directory.description = text_tag(tiff, TIFFTAG_IMAGEDESCRIPTION, budget);
  directory.software = text_tag(tiff, TIFFTAG_SOFTWARE, budget);
  directory.make = text_tag(tiff, TIFFTAG_MAKE, budget);
  directory.model = text_tag(tiff, TIFFTAG_MODEL, budget);
  directory.date_time = text_tag(tiff, TIFFTAG_DATETIME, budget);
  directory.x_resolution = real_tag(tiff, TIFFTAG_XRESOLUTION);
  directory.y_resolution = real_tag(tiff, TIFFTAG_YRESOLUTION);
  directory.resolution_unit = raw.value_or(TIFFTAG_RESOLUTIONUNIT, RESUNIT_INCH);
  read_chunk_places(tiff, directory, budget);
  return directory;
}

std::vector<uint64_t> subifd_offsets(TIFF* tiff) {
  uint16_t count = 0;
  const uint64_t* offsets = nullptr;
  if (TIFFGetField(tiff, TIFFTAG_SUBIFD, &count, &offsets) != 1 || offsets == nullptr) return {};
  return {offsets, offsets + count};
}

/// Follows the chain of directories, then the SubIFDs.
class DirectoryReader {
 public:
  DirectoryReader(TIFF* tiff, const RandomAccessFile& bytes, Complaints& complaints)
      : tiff_(tiff), raw_(bytes), complaints_(complaints), budget_(bytes.size()) {}

  void read_all() {
    int index = 0;
    for (uint64_t offset = raw_.first_directory(); offset != 0 || index == 0; ++index) {
      offset = read(offset, index, false, fmt::format("image {}", index));
    }
    for (const auto& [parent, offset] : sub_directories_) {
      read(offset, parent, true, fmt::format("a sub-image of image {}", parent));
    }
  }

  std::vector<TiffDirectory> directories;
  std::vector<std::string> notes;

 private:
  /// Returns where the next one of the chain is.
  uint64_t read(uint64_t offset, int index, bool is_subifd, const std::string& name) {
    check(visited_.insert(offset).second, "its chain of images loops: {} stands where an earlier one does",
          name);
    check(visited_.size() <= kMaxDirectories, "more than {} images", kMaxDirectories);
    const bool needed = index == 0 && !is_subifd;
    RawDirectory raw;
    try {
      raw = raw_.directory(offset);
    } catch (const Error& error) {
      fail("{}: {}; the file is truncated or damaged", name, error.what());
    }
    Budget::take(budget_.referred, raw.referred);
    complaints_.clear();
    try {
      check(TIFFSetSubDirectory(tiff_, offset) == 1, "{}", complaints_.text());
      directories.push_back(read_directory(tiff_, raw, index, is_subifd, budget_));
      if (!is_subifd) {
        for (const uint64_t sub : subifd_offsets(tiff_)) sub_directories_.emplace_back(index, sub);
      }
    } catch (const Error& error) {
      check(raw.complete, "{} refers to bytes behind the end of the file; it is truncated", name);
      check(!needed, "{} cannot be read: {}", name, error.what());
      notes.push_back(fmt::format("{} cannot be read and is left out: {}", name, error.what()));
    }
    return raw.next;
  }

  TIFF* tiff_;
  RawTiff raw_;
  Complaints& complaints_;
  Budget budget_;
  std::vector<std::pair<int, uint64_t>> sub_directories_;  // (index of the parent, offset)
  std::set<uint64_t> visited_;
};

}  // namespace

TiffFile::TiffFile(const std::filesystem::path& path) : path_(path), bytes_(path) {
  Complaints complaints;
  try {
    const TiffHandle tiff = open_tiff(path, bytes_.size(), complaints);
    check(tiff != nullptr, "not a readable TIFF: {}", complaints.text());
    DirectoryReader reader(tiff.get(), bytes_, complaints);
    reader.read_all();
    directories_ = std::move(reader.directories);
    notes_ = std::move(reader.notes);
  } catch (const Error& error) {
    fail("{}: {}", path.string(), error.what());
  }
}

}  // namespace mt::wsi
