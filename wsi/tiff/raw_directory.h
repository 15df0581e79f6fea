#pragma once
// The directories of a TIFF as they stand in the file: where they are, which tags they have, what they refer
// to. libtiff is asked for the values only afterwards, because it skips what it does not expect and reserves
// what a tag claims.

#include <cstdint>
#include <map>

#include "wsi/file.h"

namespace mt::wsi {

struct RawDirectory {
  uint64_t next = 0;      // where the next one of the chain is; 0 behind the last
  uint64_t referred = 0;  // bytes of all values that stand outside of the entries
  bool complete = true;   // false: some of these lie behind the end of the file
  /// The first value of every tag; 0 where it is no whole number or stands outside of the entry.
  std::map<uint16_t, uint64_t> tags;

  bool has(uint16_t tag) const { return tags.contains(tag); }
  uint64_t value_or(uint16_t tag, uint64_t otherwise) const {
    const auto found = tags.find(tag);
    return found == tags.end() ? otherwise : found->second;
  }
};

/// Classic TIFF and BigTIFF, both byte orders.
class RawTiff {
 public:
  /// Throws Error when the file does not begin like a TIFF.
  explicit RawTiff(const RandomAccessFile& bytes);
  static bool begins_like_tiff(const RandomAccessFile& bytes);

  uint64_t first_directory() const { return first_; }
  /// Throws Error when the directory lies behind the end of the file, or has more entries than any has.
  RawDirectory directory(uint64_t offset) const;

 private:
  uint64_t number(const uint8_t* bytes, std::size_t width) const;
  void add_entry(const uint8_t* entry, RawDirectory& directory) const;

  const RandomAccessFile& bytes_;
  bool big_endian_ = false;
  bool big_ = false;  // BigTIFF
  uint64_t first_ = 0;
};

}  // namespace mt::wsi
