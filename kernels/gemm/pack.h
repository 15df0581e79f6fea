#pragma once
// Panels: a matrix of k rows cut into strips of `width` columns, each strip stored row after row, so that a
// tile reads its b operand as one stream. Columns beyond n hold zeros.

#include <algorithm>
#include <cstdint>

namespace mt {

/// panel (k, width) from k rows of n <= width floats, `stride` apart.
inline void pack_rows(const float* rows, int64_t stride, int64_t k, int64_t n, int64_t width, float* panel) {
  for (int64_t t = 0; t < k; ++t) {
    std::copy_n(rows + t * stride, n, panel + t * width);
    std::fill_n(panel + t * width + n, width - n, 0.0F);
  }
}

/// panel (k, width) from n <= width columns that lie in memory as rows of k floats, `stride` apart: a
/// transposition.
inline void pack_columns(const float* columns, int64_t stride, int64_t k, int64_t n, int64_t width,
                         float* panel) {
  constexpr int64_t kBlock = 16;  // one cache line of each column at a time
  for (int64_t begin = 0; begin < k; begin += kBlock) {
    const int64_t count = std::min(kBlock, k - begin);
    float* block = panel + begin * width;
    for (int64_t j = 0; j < n; ++j) {
      const float* column = columns + j * stride + begin;
      for (int64_t t = 0; t < count; ++t) block[t * width + j] = column[t];
    }
    for (int64_t j = n; j < width; ++j) {
      for (int64_t t = 0; t < count; ++t) block[t * width + j] = 0;
    }
  }
}

}  // namespace mt
