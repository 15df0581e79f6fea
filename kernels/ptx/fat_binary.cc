// NVIDIA does not publish this layout beyond the wrapper (fatbinary_section.h of the toolkit). What is read
// here was seen in the output of nvcc 13.0: a header, then images, each with a header of its own; PTX as
// text, as it is or compressed by zstd. What does not look like that is an error.

#include "kernels/ptx/fat_binary.h"

#include <zstd.h>

#include <cstdint>
#include <cstring>

#include "tensor/check.h"

namespace mt::ptx {
namespace {

struct Wrapper {  // fatbinary_section.h: __fatBinC_Wrapper_t
  int32_t magic;
  int32_t version;
  const std::byte* data;
  const void* others;
};
constexpr int32_t kWrapperMagic = 0x466243b1;

struct Header {
  uint32_t magic;
  uint16_t version;
  uint16_t header_bytes;
  uint64_t bytes;  // of the images that follow
};
constexpr uint32_t kMagic = 0xba55ed50;

struct ImageHeader {
  uint16_t kind;
  uint16_t version;
  uint32_t header_bytes;
  uint64_t bytes;             // of what follows the header, padded
  uint32_t compressed_bytes;  // 0: not compressed
  uint32_t options_at;
  uint16_t minor;
  uint16_t major;
  uint32_t architecture;
  uint32_t name_at;
  uint32_t name_bytes;
  uint64_t flags;
  uint64_t reserved;
  uint64_t uncompressed_bytes;
};
constexpr uint16_t kPtx = 1;
constexpr uint64_t kZstd = 0x8000;
constexpr uint64_t kOtherCompression = 0x2000;  // LZ4, of older toolkits and --compress-mode=speed

std::string text_of(const ImageHeader& image, const std::byte* data) {
  std::string text;
  if ((image.flags & kZstd) != 0) {
    text.resize(image.uncompressed_bytes);
    const std::size_t got = ZSTD_decompress(text.data(), text.size(), data, image.compressed_bytes);
    check(ZSTD_isError(got) == 0 && got == text.size(),
          "PTX machine: the program's PTX cannot be decompressed: {}",
          ZSTD_isError(got) != 0 ? ZSTD_getErrorName(got) : "it is shorter than its header says");
  } else {
    check((image.flags & kOtherCompression) == 0,
          "PTX machine: the program's PTX is compressed in a way that it does not know; compile with nvcc "
          "--compress-mode=size, or with --no-compress");
    text.assign(reinterpret_cast<const char*>(data), image.bytes);
  }
  text.resize(std::strlen(text.c_str()));  // padding
  check(text.find(".version") != std::string::npos, "PTX machine: an image of the program is no PTX text");
  return text;
}

}  // namespace

std::vector<PtxImage> ptx_images(const void* wrapper) {
  Wrapper outer{};
  std::memcpy(&outer, wrapper, sizeof(outer));
  check(outer.magic == kWrapperMagic, "PTX machine: nvcc's wrapper of device code has an unknown layout");
  Header header{};
  std::memcpy(&header, outer.data, sizeof(header));
  check(header.magic == kMagic && header.version == 1, "PTX machine: the fat binary has an unknown layout");
  std::vector<PtxImage> images;
  const std::byte* at = outer.data + header.header_bytes;
  const std::byte* const end = at + header.bytes;
  while (at + sizeof(ImageHeader) <= end) {
    ImageHeader image{};
    std::memcpy(&image, at, sizeof(image));
    check(image.header_bytes >= sizeof(image) && image.bytes <= static_cast<uint64_t>(end - at),
          "PTX machine: an image of the fat binary has an unknown layout");
    if (image.kind == kPtx)
      images.push_back({static_cast<int>(image.architecture), text_of(image, at + image.header_bytes)});
    at += image.header_bytes + image.bytes;
  }
  return images;
}

}  // namespace mt::ptx
