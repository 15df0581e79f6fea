#include "train/cli/version.h"

#include <H5public.h>
#include <fmt/format.h>
#include <hwy/highway.h>
#include <jpeglib.h>
#include <openssl/opensslv.h>
#include <tiffio.h>

#include "commit.h"  // written by the build

namespace mt::train {

const char* source_commit() {
  return MT_SOURCE_COMMIT;
}

std::vector<std::pair<std::string, std::string>> versions_built_with() {
  constexpr int kTurbo = LIBJPEG_TURBO_VERSION_NUMBER;  // 2001005: 2.1.5
  return {
#if defined(__clang__)
    {"compiler", "clang " __clang_version__},
#else
    {"compiler", "gcc " __VERSION__},
#endif
        {"libtiff", fmt::format("{}", TIFFLIB_VERSION)},
        {"libjpeg-turbo", fmt::format("{}.{}.{}", kTurbo / 1000000, kTurbo / 1000 % 1000, kTurbo % 1000)},
        {"hdf5", fmt::format("{}.{}.{}", H5_VERS_MAJOR, H5_VERS_MINOR, H5_VERS_RELEASE)},
        {"highway", fmt::format("{}.{}.{}", HWY_MAJOR, HWY_MINOR, HWY_PATCH)},
        {"openssl", OPENSSL_VERSION_STR},
  };
}

}  // namespace mt::train
