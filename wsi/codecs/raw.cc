// No compression, and the predictor that LZW and deflate are used with.

#include <algorithm>

#include "tensor/check.h"
#include "wsi/codecs/codec.h"

namespace mt::wsi {

void decode_raw(std::span<const uint8_t> data, std::span<uint8_t> out) {
  check(data.size() >= out.size(), "uncompressed data of {} bytes where {} are needed", data.size(),
        out.size());
  std::copy_n(data.begin(), out.size(), out.begin());
}

void undo_horizontal_differences(std::span<uint8_t> samples, int64_t width, int64_t channels) {
  const std::size_t row = static_cast<std::size_t>(width * channels),
                    step = static_cast<std::size_t>(channels);
  for (std::size_t start = 0; start + row <= samples.size(); start += row) {
    for (std::size_t i = start + step; i < start + row; ++i) {
      samples[i] = static_cast<uint8_t>(samples[i] + samples[i - step]);
    }
  }
}

}  // namespace mt::wsi
