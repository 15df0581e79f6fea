#pragma once
// Files that carry a checksum of themselves: a seal, 64 digits of SHA-256, taken of the whole file with the
// digits as zeros. One atomic write brings content and checksum, whatever the format: JSON and safetensors
// hold the seal as a piece of text, TOML as a comment, HDF5 behind its last byte.

#include <string>
#include <string_view>

namespace mt {

/// What stands before the digits.
inline constexpr std::string_view kSealMark = "microtome-sha256:";

/// The mark and 64 zeros, to be put into the first 64 KiB of a file's content, or at its end.
std::string blank_seal();

/// `content`, which holds one blank seal, with the seal's digits filled in. Throws Error without a blank
/// seal.
std::string sealed(std::string content);

/// Reads the file and returns the digits of its seal. Throws Error "PATH: is damaged …; REMEDY" when the
/// bytes are not those that were sealed, or when there is no seal.
std::string check_seal(const std::string& path, std::string_view remedy);

/// The same of bytes in memory; `path` is for the message.
std::string check_seal(std::string_view content, const std::string& path, std::string_view remedy);

/// A second mark: the digits behind it are a hash of what the file was made from.
inline constexpr std::string_view kMadeFromMark = "microtome-made-from:";

/// The digits behind the mark of what the file was made from, without reading the rest; empty where there is
/// none.
std::string read_made_from(const std::string& path);

/// The digits of the file's seal, without reading the rest; empty where there is none.
std::string read_seal(const std::string& path);

}  // namespace mt
