// Files that are cut, bent or hostile: an Error of one line each, or correct pixels; never a crash, a hang or
// gigabytes.

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tensor/check.h"
#include "tensor/rng.h"
#include "tests/wsi/tiny_tiff.h"
#include "wsi/annotation.h"
#include "wsi/codecs/codec.h"
#include "wsi/slide.h"

namespace mt::wsi {
namespace {

using namespace testing;

/// Opens and reads everything. True when nothing was wrong.
bool survives(const std::filesystem::path& path) {
  try {
    OpenOptions options;
    options.max_image_pixels = 1 << 20;
    const auto slide = Slide::open(path, options);
    bool good = true;
    const auto attempt = [&](const auto& read) {
      try {
        read();
      } catch (const Error& error) {
        EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
        good = false;
      }
    };
    for (int level = 0; level < slide->level_count(); ++level) {
      attempt([&] { slide->read_region(0, 0, level, 300, 300); });
    }
    for (const std::string& name : slide->associated_names()) attempt([&] { slide->associated(name); });
    attempt([&] { slide->thumbnail(20); });
    return good;
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    EXPECT_TRUE(std::string(error.what()).starts_with(path.string() + ": ")) << error.what();
    return false;
  }
}

/// A small file with as many features as fit: two levels, a strip image, JPEG, LZW and deflate.
std::filesystem::path varied_slide(const std::string& name, const char* mode) {
  TinyImage first, thumbnail, second, label;
  first.description = "Aperio|MPP = 0.5|AppMag = 20";
  first.compression = 7;
  first.tile = 64;
  thumbnail.tile = 0;
  thumbnail.width = 30;
  thumbnail.height = 20;
  thumbnail.compression = 7;
  second.width = 50;
  second.height = 40;
  second.compression = 5;
  label = thumbnail;
  label.subfile_type = 1;
  label.compression = 8;
  label.predictor = 2;
  const auto path = temporary_path(name);
  write_tiny_tiff(path, {first, thumbnail, second, label}, mode);
  return path;
}

TEST(DamageTest, TruncationAnywhereIsAnError) {
  for (const char* mode : {"wl", "wb8"}) {
    const auto path = varied_slide(mode, mode);
    ASSERT_TRUE(survives(path));
    const std::vector<uint8_t> bytes = file_bytes(path);
    const auto cut = temporary_path("cut");
    // Every length near both ends, and every 53rd between. libtiff writes the directory last, so even one
    // byte matters.
    for (std::size_t length = 0; length < bytes.size();
         length += (length < 64 || length + 64 > bytes.size()) ? 1 : 53) {
      write_bytes(cut, {bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(length)});
      ASSERT_FALSE(survives(cut)) << mode << ": " << length << " of " << bytes.size() << " bytes";
    }
  }
}

TEST(DamageTest, TruncatedTilesAreFoundWhenTheSlideIsOpened) {
  // The tiles of a file whose directory comes first can be cut off without libtiff's noticing. Move one
  // tile's place.
  TinyImage image;
  const auto path = temporary_path("moved");
  write_tiny_tiff(path, {image}, "wl");
  std::vector<uint8_t> bytes = file_bytes(path);
  // Tiles of 32 x 32 x 3 bytes one behind the other: the array of offsets starts 8, 8 + 3072.
  const std::vector<uint8_t> offsets{8, 0, 0, 0, 0x08, 0x0C, 0, 0};
  const auto found = std::search(bytes.begin(), bytes.end(), offsets.begin(), offsets.end());
  ASSERT_NE(found, bytes.end());
  found[3] = 0x10;
  write_bytes(path, bytes);
  const std::string error = error_of([&] { Slide::open(path); });
  EXPECT_NE(error.find("truncated"), std::string::npos) << error;
}

TEST(DamageTest, FlippedBytesNeverCrash) {
  int refused = 0, trials = 0;
  for (const char* mode : {"wl", "wb8"}) {
    const std::vector<uint8_t> bytes = file_bytes(varied_slide(mode, mode));
    const auto bent = temporary_path("bent");
    for (uint64_t trial = 0; trial < 200; ++trial) {
      RandomStream random(1, Purpose::test, 0, trial);
      std::vector<uint8_t> copy = bytes;
      for (int flips = 0; flips < 3; ++flips)
        copy[random.below(copy.size())] = static_cast<uint8_t>(random.next());
      write_bytes(bent, copy);
      refused += survives(bent) ? 0 : 1;
      ++trials;
    }
  }
  EXPECT_GT(refused, trials / 20);  // else the flips missed everything that matters
}

/// A BigTIFF of `images` directories that share one array of the places of side x side tiles of 16 x 16,
/// whose entries are of `type` (3: 2 bytes, 16: 8 bytes).
std::vector<uint8_t> shared_array_tiff(int images, uint32_t side, uint16_t type) {
  std::vector<uint8_t> bytes;
  const auto put = [&](uint64_t value, int width) {
    for (int i = 0; i < width; ++i) bytes.push_back(static_cast<uint8_t>(value >> (8 * i)));
  };
  const uint64_t tiles = uint64_t{side} * side, array = 16;
  put(0x002B4949, 4), put(8, 4), put(array + tiles * (type == 3 ? 2 : 8), 8);
  bytes.resize(bytes.size() + tiles * (type == 3 ? 2 : 8));
  struct Entry {
    uint16_t tag, type;
    uint64_t count, value;
  };
  for (int image = 0; image < images; ++image) {
    const uint64_t width = uint64_t{side} * 16;
    const Entry entries[] = {{254, 4, 1, image > 0 ? 1U : 0U},
                             {256, 4, 1, width},
                             {257, 4, 1, width},
                             {258, 3, 3, 0x000800080008},
                             {259, 3, 1, 1},
                             {262, 3, 1, 2},
                             {277, 3, 1, 3},
                             {322, 4, 1, 16},
                             {323, 4, 1, 16},
                             {324, type, tiles, array},
                             {325, type, tiles, array}};
    put(std::size(entries), 8);
    for (const Entry& entry : entries) {
      put(entry.tag, 2), put(entry.type, 2), put(entry.count, 8), put(entry.value, 8);
    }
    put(image + 1 < images ? bytes.size() + 8 : 0, 8);
  }
  return bytes;
}

TEST(DamageTest, DirectoriesThatShareOneArrayDoNotMultiplyIt) {
  const auto path = temporary_path("shared");
  // 1 MB of places in 500 directories would be a gigabyte; 2-byte places become 16 bytes each in memory.
  write_bytes(path, shared_array_tiff(500, 360, 16));
  EXPECT_NE(error_of([&] { Slide::open(path); }).find("more bytes than the file"), std::string::npos);
  write_bytes(path, shared_array_tiff(1, 2000, 3));
  EXPECT_NE(error_of([&] { Slide::open(path); }).find("more bytes than the file"), std::string::npos);
  write_bytes(path, shared_array_tiff(1, 360, 16));
  const auto slide = Slide::open(path);
  EXPECT_EQ(slide->missing_tiles(0), 360 * 360);
}

TEST(DamageTest, ADamagedTileSaysWhereItIsAndHarmsNothingElse) {
  TinyImage first, second;
  second.width = 50, second.height = 40;
  second.subfile_type = 1;
  first.compression = second.compression = 8;
  const auto path = temporary_path("tile");
  write_tiny_tiff(path, {first, second}, "wl");
  const TiffFile file(path);
  std::vector<uint8_t> bytes = file_bytes(path);
  bytes[file.directories()[1].offsets[3]] = 0xFF;  // level 1, column 1, row 1
  write_bytes(path, bytes);
  const auto slide = Slide::open(path);
  try {
    slide->read_region(0, 0, 1, 50, 40);
    ADD_FAILURE() << "no error";
  } catch (const TileError& error) {
    EXPECT_EQ(error.level, 1);
    EXPECT_EQ(error.x, 64);
    EXPECT_EQ(error.y, 64);
    EXPECT_EQ(error.width, 64);
    EXPECT_TRUE(std::string(error.what()).starts_with(path.string() + ": level 1, tile 3")) << error.what();
  }
  EXPECT_EQ(slide->read_region(0, 0, 1, 30, 30).pixels,
            expected_region(gradient(), 50, 40, 0, 0, 30, 30).pixels);
}

TEST(DamageTest, AFifoIsRefusedAndNotWaitedFor) {
  const auto path = temporary_path("fifo");
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  EXPECT_NE(error_of([&] { Slide::open(path); }).find("not a regular file"), std::string::npos);
  EXPECT_NE(error_of([&] { read_annotations(path, {}); }).find("not a regular file"), std::string::npos);
  std::filesystem::remove(path);
}

TEST(DamageTest, LosslessJpegIsRefusedWhenTheSlideIsOpened) {
  TinyImage image;
  image.compression = 7;
  image.tile = 64;
  const auto path = temporary_path("sof3");
  write_tiny_tiff(path, {image});
  const TiffFile file(path);
  std::vector<uint8_t> bytes = file_bytes(path);
  const auto begin = bytes.begin() + static_cast<std::ptrdiff_t>(file.first().offsets[0]);
  const std::vector<uint8_t> frame{0xFF, 0xC0};
  const auto found = std::search(begin, bytes.end(), frame.begin(), frame.end());
  ASSERT_NE(found, bytes.end());
  for (const auto& [marker, part] : {std::pair{0xC3, "lossless"}, {0xC9, "arithmetic"}}) {
    found[1] = static_cast<uint8_t>(marker);
    write_bytes(path, bytes);
    EXPECT_NE(error_of([&] { Slide::open(path); }).find(part), std::string::npos);
  }
}

TEST(DamageTest, AChainOfImagesInACircleEnds) {
  TinyImage image;
  const auto path = temporary_path("circle");
  write_tiny_tiff(path, {image, image, image}, "wl");
  std::vector<uint8_t> bytes = file_bytes(path);
  // Walk the chain of a little-endian classic TIFF and point the last link back at the first image.
  const auto word = [&](std::size_t at) {
    return bytes[at] | bytes[at + 1] << 8 | bytes[at + 2] << 16 | static_cast<uint32_t>(bytes[at + 3]) << 24;
  };
  const uint32_t first = word(4);
  std::size_t link = 0;
  for (uint32_t directory = first; directory != 0; directory = word(link)) {
    link = directory + 2 + 12 * static_cast<std::size_t>(bytes[directory] | bytes[directory + 1] << 8);
  }
  for (std::size_t i = 0; i < 4; ++i) bytes[link + i] = static_cast<uint8_t>(first >> (8 * i));
  write_bytes(path, bytes);
  const std::string error = error_of([&] { Slide::open(path); });
  EXPECT_NE(error.find("loop"), std::string::npos) << error;
}

TEST(DamageTest, ThingsThatAreNoSlidesAreNamed) {
  const auto empty = temporary_path("empty");
  write_bytes(empty, {});
  error_of([&] { Slide::open(empty); });
  EXPECT_NE(error_of([] { Slide::open("/nonexistent/slide.tif"); }).find("No such file"), std::string::npos);
  EXPECT_NE(error_of([] { Slide::open("/tmp"); }).find("not a regular file"), std::string::npos);
  TinyImage strips;
  strips.tile = 0;
  const auto path = temporary_path("strips");
  write_tiny_tiff(path, {strips});
  EXPECT_NE(error_of([&] { Slide::open(path); }).find("not tiled"), std::string::npos);
}

TEST(CodecTest, DataThatIsTooShortIsAnError) {
  std::vector<uint8_t> out(100);
  const std::vector<uint8_t> few(99, 3);
  EXPECT_THROW(decode_raw(few, out), Error);
  EXPECT_THROW(decode_deflate(few, out), Error);
  EXPECT_THROW(decode_deflate({}, out), Error);
  EXPECT_THROW(decode_lzw({}, out), Error);
  EXPECT_THROW(decode_jpeg({}, {}, ColourModel::rgb, 4, 4, std::span(out).first(48)), Error);
  EXPECT_THROW(decode_jpeg_file(few, 1000), Error);
}

TEST(CodecTest, LzwCodesThatWereNeverMadeAreAnError) {
  std::vector<uint8_t> out(100);
  // Nine-bit codes: clear (256), then 300 when the table holds nothing; and clear, 65, 300.
  const std::vector<uint8_t> at_once{0x80, 0x4B, 0x00};
  const std::vector<uint8_t> too_far{0x80, 0x10, 0x65, 0x80, 0x00};
  EXPECT_THROW(decode_lzw(at_once, out), Error);
  EXPECT_THROW(decode_lzw(too_far, out), Error);
}

TEST(CodecTest, LzwOfTheSpecificationsExample) {
  // TIFF 6.0, section 13: 7 7 7 8 8 7 7 6 6 becomes the codes 256 7 258 8 8 258 6 6 257, nine bits each.
  const int codes[] = {256, 7, 258, 8, 8, 258, 6, 6, 257};
  std::vector<uint8_t> data;
  uint32_t buffer = 0;
  int bits = 0;
  for (const int code : codes) {
    buffer = buffer << 9 | static_cast<uint32_t>(code);
    bits += 9;
    while (bits >= 8) data.push_back(static_cast<uint8_t>(buffer >> (bits -= 8)));
  }
  data.push_back(static_cast<uint8_t>(buffer << (8 - bits)));
  std::vector<uint8_t> out(9);
  decode_lzw(data, out);
  EXPECT_EQ(out, (std::vector<uint8_t>{7, 7, 7, 8, 8, 7, 7, 6, 6}));
}

}  // namespace
}  // namespace mt::wsi
