// Coverage-guided fuzzing of everything that reads files (make fuzz): whatever the bytes, a reader gives
// values or throws an Error of one line. A crash, another exception, more than 10 s or too much memory is a
// find; mend it, and make it a test.
//
// One program for all readers; the environment variable READER names one, and its seeds are written into the
// folder that MICROTOME_SEEDS names.

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "tensor/check.h"
#include "tensor/io/csv.h"
#include "tensor/io/npz.h"
#include "tensor/io/safetensors.h"
#include "tensor/io/torch_checkpoint.h"
#include "tests/wsi/jpeg2000_encoder.h"
#include "train/feature_files/feature_files.h"
#include "train/settings/toml.h"
#include "wsi/annotation.h"
#include "wsi/codecs/codec.h"
#include "wsi/codecs/jpeg2000_header.h"
#include "wsi/slide.h"
#include "wsi/tiff/writer.h"
#include "wsi/tile_cache.h"

namespace mt {
namespace {

namespace fs = std::filesystem;

// What each reader does with a file.

void read_slide(const std::string& path) {
  wsi::OpenOptions options;
  options.max_image_pixels = 1 << 20;
  options.cache = std::make_shared<wsi::TileCache>(1 << 20);
  const auto slide = wsi::Slide::open(path, options);
  for (int level = 0; level < slide->level_count(); ++level) {
    const auto attempt = [&](const auto& read) {
      try {
        read();
      } catch (const Error&) {
      }
    };
    const wsi::Level& size = slide->levels()[static_cast<std::size_t>(level)];
    attempt([&] { slide->read_region(0, 0, level, 100, 100); });
    attempt([&] {
      slide->read_region_rgba(static_cast<int64_t>(static_cast<double>(size.width) * size.downsample) - 50, 0,
                              level, 100, 100);
    });
  }
  for (const std::string& name : slide->associated_names()) {
    try {
      slide->associated(name);
    } catch (const Error&) {
    }
  }
  if (slide->mpp()) slide->read_at_mpp(0, 0, *slide->mpp() * 1.5, 60, 60);
}

void read_jpeg2000(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  const std::vector<uint8_t> data{std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
  const wsi::Jpeg2000Header header = wsi::read_jpeg2000_header(wsi::jpeg2000_codestream(data));
  check(header.width <= 512 && header.height <= 512, "too large for a fuzzer");
  std::vector<uint8_t> out(static_cast<std::size_t>(header.width * header.height * 3));
  const bool grey = header.components.size() == 1;
  wsi::decode_jpeg2000(data, grey ? wsi::ColourModel::grey : wsi::ColourModel::ycbcr, header.width,
                       header.height, out);
}

void read_npz(const std::string& path) {
  const NpzFile file(path);
  for (const std::string& name : file.names()) file[name];
}

// Seeds: small files as people have them.

using Seeds = std::vector<std::string>;

std::string content_of(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

/// Files of tests/golden with this ending and at most 200 KB.
Seeds golden(const std::string& ending) {
  Seeds seeds;
  for (const auto& entry : fs::recursive_directory_iterator(MT_GOLDEN_DIR)) {
    if (entry.path().extension() == ending && entry.file_size() <= 200000)
      seeds.push_back(content_of(entry.path()));
  }
  return seeds;
}

Seeds slide_seeds() {
  wsi::RgbImage picture(150, 100);
  for (std::size_t i = 0; i < picture.pixels.size(); ++i)
    picture.pixels[i] = static_cast<uint8_t>(i * i / 97);
  Seeds seeds;
  const fs::path path = fs::temp_directory_path() / ("microtome-seed-" + std::to_string(::getpid()) + ".tif");
  for (const auto dialect :
       {wsi::TiffDialect::philips, wsi::TiffDialect::generic, wsi::TiffDialect::aperio}) {
    for (const auto compression :
         {wsi::TiffCompression::jpeg, wsi::TiffCompression::lzw, wsi::TiffCompression::deflate}) {
      wsi::TiffWriteOptions options;
      options.dialect = dialect;
      options.compression = compression;
      options.tile = 32;
      options.levels = 3;
      options.big_tiff = compression != wsi::TiffCompression::lzw;
      options.label = wsi::RgbImage(20, 20, 100);
      wsi::write_tiff_pyramid(path, picture, options);
      seeds.push_back(content_of(path));
    }
  }
  fs::remove(path);
  return seeds;
}

Seeds jpeg2000_seeds() {
  Seeds seeds;
  for (const int step : {1, 2}) {
    wsi::testing::Jpeg2000Encoder encoder;
    encoder.step_x = {1, step, step};
    encoder.sample = [](int c, int64_t x, int64_t y) {
      return static_cast<int>((x * 3 + y * (c + 1)) & 0xFF);
    };
    const std::vector<uint8_t> bytes = encoder.encode();
    seeds.emplace_back(bytes.begin(), bytes.end());
  }
  return seeds;
}

Seeds geojson_seeds() {
  return {
      R"({"type":"FeatureCollection","features":[{"type":"Feature","geometry":{"type":"Polygon","coordinates":)"
      R"([[[0,0],[9,0],[9,9.5],[0,0]],[[1,1],[2,1],[2,2],[1,1]]]},"properties":{"objectType":"annotation",)"
      R"("classification":{"name":"Tumor","names":["Tumor","x"]}}},{"type":"Feature","geometry":null}]})",
      R"([{"type":"Feature","geometry":{"type":"MultiPolygon","coordinates":[[[[0,0],[9,0],[9,9]]]]}}])"};
}

Seeds asap_seeds() {
  return {
      "<?xml version=\"1.0\"?><ASAP_Annotations><Annotations><Annotation Name=\"a\" Type=\"Polygon\" "
      "PartOfGroup=\"Tumor\"><Coordinates><Coordinate Order=\"0\" X=\"1\" Y=\"2\"/><Coordinate Order=\"1\" "
      "X=\"9\" "
      "Y=\"2.5\"/><Coordinate Order=\"2\" X=\"9\" Y=\"8\"/></Coordinates></Annotation></Annotations>"
      "<AnnotationGroups><Group Name=\"Tumor\" PartOfGroup=\"None\"/></AnnotationGroups></ASAP_Annotations>"};
}

Seeds config_seeds() {
  return {
      "preset = \"fast\"\nseed = 3\nmpp = \"0.5\"\n# a comment\npatch=224\nrate = 1e-3\nname = "
      "\"a\\\"#\\u00e4\"\n"};
}

struct Reader {
  const char* name;
  const char* ending;
  std::function<void(const std::string& path)> read;
  std::function<Seeds()> seeds;
};

const std::vector<Reader>& readers() {
  static const std::vector<Reader> all = {
      {"slide", ".tif", read_slide, slide_seeds},
      {"jpeg2000", ".j2k", read_jpeg2000, jpeg2000_seeds},
      {"safetensors", ".safetensors", [](const std::string& path) { SafetensorsFile(path).read_all(); },
       [] {
         return Seeds{std::string("\x40\0\0\0\0\0\0\0", 8) +
                      R"({"a":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}}        )" + "12345678"};
       }},
      {"torch", ".pth", [](const std::string& path) { read_all_tensors(path); },
       [] { return golden(".pth"); }},
      {"npz", ".npz", read_npz, [] { return golden(".npz"); }},
      {"csv", ".csv", [](const std::string& path) { read_csv(path); },
       [] {
         return Seeds{"slide_id,path,label\na,\"b\"\"c\",1\n", "\xEF\xBB\xBFslide_id;label\r\na;0\r\n;\r\n"};
       }},
      {"csv_features", ".csv", [](const std::string& path) { train::read_features(path); },
       [] { return golden(".csv"); }},
      {"torch_features", ".pt", [](const std::string& path) { train::read_features(path); },
       [] { return golden(".pt"); }},
      {"hdf5", ".h5", [](const std::string& path) { train::read_features(path); },
       [] { return golden(".h5"); }},
      {"geojson", ".geojson", [](const std::string& path) { wsi::read_annotations(path, {}); },
       geojson_seeds},
      {"asap", ".xml", [](const std::string& path) { wsi::read_annotations(path, {}); }, asap_seeds},
      {"config", ".toml", [](const std::string& path) { train::read_toml(path); }, config_seeds},
  };
  return all;
}

const Reader& chosen_reader() {
  const char* name = std::getenv("READER");
  for (const Reader& reader : readers()) {
    if (name != nullptr && std::string(name) == reader.name) return reader;
  }
  std::fputs("fuzz_readers: READER is to be one of", stderr);
  for (const Reader& reader : readers()) std::fprintf(stderr, " %s", reader.name);
  std::fputs("\n", stderr);
  std::exit(2);
}

void write_seeds(const Reader& reader, const fs::path& folder) {
  int number = 0;
  for (const std::string& seed : reader.seeds()) {
    std::ofstream(folder / ("seed" + std::to_string(number++)), std::ios::binary) << seed;
  }
}

/// A file in memory where there is one, with the ending that the reader expects.
std::string input_path(const Reader& reader) {
  const fs::path folder = fs::exists("/dev/shm") ? fs::path("/dev/shm") : fs::temp_directory_path();
  return folder / ("microtome-fuzz-" + std::to_string(::getpid()) + reader.ending);
}

}  // namespace
}  // namespace mt

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  const mt::Reader& reader = mt::chosen_reader();
  if (const char* folder = std::getenv("MICROTOME_SEEDS")) mt::write_seeds(reader, folder);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const mt::Reader& reader = mt::chosen_reader();
  static const std::string path = mt::input_path(reader);
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0 || ::write(file, data, size) != static_cast<ssize_t>(size)) std::abort();
  ::close(file);
  try {
    reader.read(path);
  } catch (const mt::Error& error) {
    if (std::string(error.what()).find('\n') != std::string::npos) {
      std::fprintf(stderr, "an error of several lines: %s\n", error.what());
      std::abort();
    }
  }
  ::unlink(path.c_str());
  return 0;
}
