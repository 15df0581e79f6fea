#pragma once
// What a JPEG 2000 codestream says of itself (ISO/IEC 15444-1, annex A). Read before OpenJPEG sees it,
// because that reserves memory for whatever a header claims: tiles, precincts and layers by the million.

#include <cstdint>
#include <span>
#include <vector>

namespace mt::wsi {

struct Jpeg2000Header {
  struct Component {
    int64_t step_x, step_y;  // samples lie this many pixels apart
  };
  int64_t width = 0, height = 0;
  std::vector<Component> components;
};

/// The codestream in `data`, which is one or a JP2 file that holds one. Throws Error when there is none.
std::span<const uint8_t> jpeg2000_codestream(std::span<const uint8_t> data);

/// Throws Error on a damaged header, on more than 8 bits a sample, and on a division into tiles, precincts
/// and layers that is finer than any picture needs.
Jpeg2000Header read_jpeg2000_header(std::span<const uint8_t> codestream);

}  // namespace mt::wsi
