#include "wsi/dialects/foreign.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <string_view>
#include <vector>

#include "wsi/dialects/dialect.h"
#include "wsi/tiff/raw_directory.h"

namespace mt::wsi {
namespace {

// Remedies. vips reads through OpenSlide, and bfconvert through Bio-Formats.
constexpr const char* kVips =
    "convert it: vips tiffsave SLIDE OUT.tif --tile --tile-width 512 --tile-height 512 --pyramid --bigtiff "
    "--compression jpeg --Q 90";
constexpr const char* kBioFormats =
    "convert it: bfconvert -noflat -tilex 512 -tiley 512 -pyramid-resolutions 6 -pyramid-scale 2 "
    "-compression JPEG "
    "SLIDE OUT.ome.tif";
constexpr const char* kIsyntax = "convert it with isyntax2raw and raw2ometiff --rgb";
constexpr const char* kPicture =
    "a picture is no slide: it says no um/px; tile it first (vips tiffsave --tile --pyramid)";
constexpr const char* kDownload = "download the slide itself";
constexpr const char* kNoSlide = "it is no slide";

struct Signature {
  std::size_t at;
  std::string_view bytes;
  const char* name;
  const char* remedy;
};

using namespace std::string_view_literals;

constexpr std::array kSignatures = {
    Signature{128, "DICM", "a DICOM file", kVips},
    Signature{0, "ZISRAWFILE", "a Zeiss CZI slide", kBioFormats},
    Signature{0, "[Virtual Microscope Specimen]", "a Hamamatsu VMS slide", kVips},
    Signature{0, "[Uncompressed Virtual Microscope Specimen]", "a Hamamatsu VMU slide", kVips},
    Signature{0, "[GENERAL]", "the index of a 3DHISTECH MIRAX slide (Slidedat.ini)", kVips},
    Signature{0, "SQLite format 3", "an SQLite file (Sakura svslide?)", kVips},
    Signature{0, "\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1"sv, "an OLE file (Motic, Olympus OIB?)", kBioFormats},
    Signature{0, "p\0\0\0"sv, "a Leica LIF file", kBioFormats},
    Signature{0, "KFB", "a KFBIO slide", "convert it with the scanner's own program"},
    Signature{0, "TMAP", "a TMAP slide", "convert it with the scanner's own program"},
    Signature{0, "\x89HDF\r\n\x1A\n"sv, "an HDF5 file", "feature files are given with --features"},
    Signature{0, "\x93NUMPY", "a NumPy array", kNoSlide},
    Signature{0, "PK\x03\x04"sv, "a zip file", "unpack it first"},
    Signature{0, "\x1F\x8B"sv, "a gzip file", "unpack it first (gunzip)"},
    Signature{0, "7z\xBC\xAF\x27\x1C"sv, "a 7z file", "unpack it first"},
    Signature{0, "BZh", "a bzip2 file", "unpack it first"},
    Signature{0,
              "\xFD"
              "7zXZ"sv,
              "an xz file", "unpack it first"},
    Signature{0, "Rar!", "a RAR file", "unpack it first"},
    Signature{257, "ustar", "a tar file", "unpack it first"},
    Signature{0, "\x89PNG", "a PNG picture", kPicture},
    Signature{0, "GIF8", "a GIF picture", kPicture},
    Signature{0, "BM", "a BMP picture", kPicture},
    Signature{8, "WEBP", "a WebP picture", kPicture},
    Signature{4, "jP  ", "a JPEG 2000 picture", kPicture},
    Signature{0, "\xFF\x4F\xFF\x51"sv, "a JPEG 2000 picture", kPicture},
    Signature{0, "%PDF", "a PDF document", kNoSlide},
    Signature{0, "version https://git-lfs", "a pointer of Git LFS, not the file", "fetch it: git lfs pull"},
};

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

std::string line(std::string_view name, std::string_view remedy) {
  return fmt::format("{}, which is not read here; {}", name, remedy);
}

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

/// XML and HTML, by what stands in their first kilobytes.
std::string describe_markup(const std::string& text) {
  const std::string small = lower(text);
  if (contains(small, "<html") || contains(small, "<!doctype html"))
    return line("a web page (a download that failed?)", kDownload);
  if (contains(text, "DPUfsImport")) return line("a Philips iSyntax slide", kIsyntax);
  if (contains(text, "ASAP_Annotations") || contains(text, "<Annotations"))
    return line("an XML file of annotations", "they are given beside a slide");
  return line("an XML file", kNoSlide);
}

}  // namespace

std::string describe_foreign_file(const RandomAccessFile& bytes, const std::filesystem::path& path) {
  if (bytes.size() == 0) return "is empty; " + std::string(kDownload);
  constexpr uint64_t kLooked = 4096;
  const std::vector<uint8_t> begin = bytes.read(0, std::min(bytes.size(), kLooked));
  const std::string text(begin.begin(), begin.end());
  const std::string ending = lower(path.extension().string());
  if (ending == ".mrxs") return line("a 3DHISTECH MIRAX slide (MRXS)", kVips);
  if (ending == ".isyntax" || ending == ".i2syntax") return line("a Philips iSyntax slide", kIsyntax);
  for (const Signature& known : kSignatures) {
    if (text.size() > known.at && std::string_view(text).substr(known.at).starts_with(known.bytes))
      return line(known.name, known.remedy);
  }
  if (text.starts_with("\xFF\xD8\xFF"))
    return line("a JPEG picture (a MIRAX slide has one called .mrxs, with a folder beside it)", kPicture);
  const std::size_t first = text.find_first_not_of(" \t\r\n\xEF\xBB\xBF");
  if (first != std::string::npos && text[first] == '<') return describe_markup(text);
  if (std::all_of(begin.begin(), begin.end(), [](uint8_t byte) { return byte == 0; }))
    return "begins with zeros only, as a download that broke off does; " + std::string(kDownload);
  return "is neither a TIFF nor a slide of another format that is known here; known are Philips TIFF, Aperio "
         "SVS, "
         "OME-TIFF and generic tiled TIFF";
}

std::optional<std::string> describe_foreign_tiff(const RandomAccessFile& bytes) {
  constexpr uint16_t kHamamatsu = 65420;
  const RawTiff raw(bytes);
  if (!raw.directory(raw.first_directory()).has(kHamamatsu)) return std::nullopt;
  return line("a Hamamatsu NDPI slide", kVips);
}

std::optional<std::string> describe_foreign_tiff(const TiffFile& file) {
  const TiffDirectory& first = file.first();
  if (contains(first.description, "www.leica-microsystems.com/scn")) return line("a Leica SCN slide", kVips);
  for (const TiffDirectory& page : file.directories()) {
    if (contains(page.xmp, "iScan")) return line("a Ventana BIF slide", kVips);
  }
  if (first.software.starts_with("MedScan")) return line("a Trestle slide (its tiles overlap)", kVips);
  const bool perkin_elmer =
      contains(first.software, "PerkinElmer-QPI") || contains(first.description, "PerkinElmer-QPI");
  if (perkin_elmer && first.samples < 3) {
    return line("a PerkinElmer QPTIFF of fluorescence channels",
                "only brightfield slides are read: unmix it and write one RGB image");
  }
  return std::nullopt;
}

std::string describe_untiled_tiff(const TiffFile& file) {
  const TiffDirectory& first = file.first();
  std::string_view name = "a TIFF";
  if (is_ome_xml(first.description)) name = "an OME-TIFF";
  if (contains(first.software, "PerkinElmer-QPI") || contains(first.description, "PerkinElmer-QPI"))
    name = "a PerkinElmer QPTIFF";
  return fmt::format("{} whose first image is not tiled but in strips; {}", name, kVips);
}

}  // namespace mt::wsi
