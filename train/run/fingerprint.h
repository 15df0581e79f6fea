#pragma once
// What tells one file of a user's from another, without reading all of a slide.

#include <cstdint>
#include <filesystem>
#include <string>

namespace mt::train {

/// A file as it was when a run looked at it. Only its content is compared: `path` and `modified` are for
/// people.
struct Fingerprint {
  std::string path;  // canonical; empty: there is no such file
  uint64_t bytes = 0;
  int64_t modified = 0;  // seconds since 1970
  std::string sha256;    // of the whole file, or of its ends (see below); empty: it cannot be read

  bool is_known() const { return !sha256.empty(); }
  bool has_content_of(const Fingerprint& other) const {
    return bytes == other.bytes && sha256 == other.sha256;
  }
};

/// How much of a file is hashed.
enum class HashedPart : uint8_t {
  whole,  // tables, annotations, features, weights (of more than 1 GiB the ends)
  ends,   // slides: whole up to 4 MiB, of larger ones the first and last 256 KiB
};

/// Reads the file's size, time and content. Where it cannot be read, `sha256` is empty: whoever opens the
/// file in earnest says why. An empty path gives an empty fingerprint.
Fingerprint fingerprint_of(const std::filesystem::path& file, HashedPart part);

/// SHA-256 of a whole file, whatever its size. Throws Error when it cannot be read.
std::string sha256_of_file(const std::string& path);

}  // namespace mt::train
