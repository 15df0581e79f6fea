// Strided copies and layouts on cuda and simt. Contract: copy.h, copy.md. First the naive version, then the
// fast one. Casts and images: copy_cast.cu.

#include "kernels/common/tables.h"
#include "kernels/copy/copy.h"

#include <array>
#include <string>

#include "kernels/copy/copy_cast.cuh"
#include "kernels/device/kernel.h"

namespace mt::MT_BACKEND {
namespace {

constexpr int kThreads = 128;
constexpr int kMaxRank = 8;

struct Axis {
  int64_t size;
  int64_t stride;  // in elements of the source
};

/// The axes of a view, outermost first; goes to kernels by value.
struct Axes {
  int count = 0;
  Axis axis[kMaxRank] = {};
};

int64_t elements_of(const Axes& axes) {
  int64_t n = 1;
  for (int d = 0; d < axes.count; ++d) n *= axes.axis[d].size;
  return n;
}

Axes axes_of(std::span<const int64_t> dims, std::span<const int64_t> strides) {
  if (dims.size() != strides.size()) {
    fail_kernel("copy: " + std::to_string(dims.size()) + " dimensions but " + std::to_string(strides.size()) +
                " strides");
  }
  if (dims.size() > kMaxRank) fail_kernel("copy: " + std::to_string(dims.size()) + " dimensions; 8 is most");
  Axes axes;
  for (std::size_t d = 0; d < dims.size(); ++d) axes.axis[axes.count++] = {dims[d], strides[d]};
  return axes;
}

void require_element(int64_t bytes) {
  if (bytes != 1 && bytes != 2 && bytes != 4 && bytes != 8) {
    fail_kernel("copy: elements of " + std::to_string(bytes) + " bytes; 1, 2, 4 and 8 are there");
  }
}

/// Calls run(E{}) with an element of this size: 1, 2, 4, 8 or 16 bytes.
template <typename Run>
void with_element(int64_t element_bytes, const Run& run) {
  switch (element_bytes) {
    case 1:
      return run(uint8_t{});
    case 2:
      return run(uint16_t{});
    case 4:
      return run(uint32_t{});
    case 8:
      return run(uint2{});
    default:
      return run(uint4{});
  }
}

// ---- 1. Naive: one element per thread, its place from its number
// Eight-byte elements are uint2 and sixteen-byte ones uint4, so that no access is wider than its alignment.

/// Index: int64_t, or uint32_t (whose division is a quarter of the work) where n < 2^31.
template <typename E, typename Index>
__global__ void copy_elements(const E* source, E* target, Axes axes, int64_t n) {  // target: (n)
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < n) {
    auto rest = static_cast<Index>(i);
    int64_t offset = 0;
    for (int d = axes.count - 1; d >= 0; --d) {
      const auto size = static_cast<Index>(axes.axis[d].size);
      offset += static_cast<int64_t>(rest % size) * axes.axis[d].stride;
      rest /= size;
    }
    target[i] = source[offset];
  }
}

template <typename E, typename Index>
void copy_any(const void* source, const Axes& axes, void* target, Stream stream) {
  const int64_t n = elements_of(axes);
  launch<copy_elements<E, Index>>(blocks_for(n, kThreads), kThreads, 0, stream, static_cast<const E*>(source),
                                  static_cast<E*>(target), axes, n);
}

void strided_naive(const void* source, std::span<const int64_t> dims, std::span<const int64_t> strides,
                   void* target, int64_t element_bytes, Stream stream) {
  const Axes axes = axes_of(dims, strides);
  require_element(element_bytes);
  with_element(element_bytes, [&]<typename E>(E) {
    if (elements_of(axes) > 0) copy_any<E, int64_t>(source, axes, target, stream);
  });
}

// ---- 2. Fast: transposes in tiles
// A warp reads 32 neighbours of the source and, after the tile has turned, writes 32 neighbours of the
// target.

constexpr int kTile = 32;
constexpr int kTileRows = kThreads / kTile;  // rows of a tile that the block moves at a time

struct Transpose {
  Axes batch;         // the axes other than the two below; strides of the source
  Axis rows;          // stride 1 in the source
  Axis columns;       // innermost, so stride 1 in the target
  int batch_axes_in;  // of the batch's axes, those inside of `rows`
  int64_t row_tiles;
  int64_t column_tiles;
};

/// One tile per block; blockIdx.x counts (batch, row tile, column tile).
template <typename E>
__global__ void transpose_tiles(const E* source, E* target, Transpose t) {
  SHARED(E, tile, kTile * (kTile + 1));  // (columns, rows + 1): the odd width spreads columns over the banks
  const int64_t column0 = blockIdx.x % t.column_tiles * kTile;
  int64_t rest = blockIdx.x / t.column_tiles;
  const int64_t row0 = rest % t.row_tiles * kTile;
  rest /= t.row_tiles;  // the batch's number

  int64_t from = 0;                   // where the batch's matrix begins in the source …
  int64_t to = 0;                     // … and in the target
  int64_t step = t.columns.size;      // of the target, along the axis in hand
  int64_t row_step = t.columns.size;  // of the target, along `rows`
  for (int d = t.batch.count - 1; d >= 0; --d) {
    if (d == t.batch.count - 1 - t.batch_axes_in) step *= t.rows.size;
    const int64_t place = rest % t.batch.axis[d].size;
    rest /= t.batch.axis[d].size;
    from += place * t.batch.axis[d].stride;
    to += place * step;
    step *= t.batch.axis[d].size;
    if (d >= t.batch.count - t.batch_axes_in) row_step = step;
  }

  const int x = static_cast<int>(threadIdx.x) % kTile;
  const int y = static_cast<int>(threadIdx.x) / kTile;
  for (int k = y; k < kTile; k += kTileRows) {
    if (row0 + x < t.rows.size && column0 + k < t.columns.size) {
      tile[k * (kTile + 1) + x] = source[from + row0 + x + (column0 + k) * t.columns.stride];
    }
  }
  simt::sync_threads();
  for (int k = y; k < kTile; k += kTileRows) {
    if (row0 + k < t.rows.size && column0 + x < t.columns.size) {
      target[to + (row0 + k) * row_step + column0 + x] = tile[x * (kTile + 1) + k];
    }
  }
}

/// Shorter sides would leave most of a tile empty; there the caches do for copy_elements what a tile would.
constexpr int64_t kShortestSide = 8;

/// The axis to turn against the innermost one, or -1.
int axis_to_turn(const Axes& axes) {
  const Axis& inner = axes.axis[axes.count - 1];
  if (inner.stride == 1 || inner.size < kShortestSide) return -1;
  for (int d = axes.count - 2; d >= 0; --d) {
    if (axes.axis[d].stride == 1 && axes.axis[d].size >= kShortestSide) return d;
  }
  return -1;
}

template <typename E>
void transpose(const void* source, const Axes& axes, int rows, void* target, Stream stream) {
  Transpose t{};
  t.rows = axes.axis[rows];
  t.columns = axes.axis[axes.count - 1];
  for (int d = 0; d + 1 < axes.count; ++d) {
    if (d != rows) t.batch.axis[t.batch.count++] = axes.axis[d];
  }
  t.batch_axes_in = axes.count - 2 - rows;
  t.row_tiles = blocks_for(t.rows.size, kTile);
  t.column_tiles = blocks_for(t.columns.size, kTile);
  launch<transpose_tiles<E>>(elements_of(t.batch) * t.row_tiles * t.column_tiles, kThreads, 0, stream,
                             static_cast<const E*>(source), static_cast<E*>(target), t);
}

// ---- Host: which kernel

/// Without axes of size 1, and neighbours that step as one merged; never empty.
Axes merged(const Axes& axes) {
  Axes result;
  for (int d = 0; d < axes.count; ++d) {
    const Axis axis = axes.axis[d];
    if (axis.size == 1) continue;
    Axis& last = result.axis[result.count > 0 ? result.count - 1 : 0];
    if (result.count > 0 && last.stride == axis.stride * axis.size) {
      last = {last.size * axis.size, axis.stride};
    } else {
      result.axis[result.count++] = axis;
    }
  }
  if (result.count == 0) result.axis[result.count++] = {1, 1};
  return result;
}

/// Takes pairs of neighbouring elements as one while runs, strides and addresses allow, up to 16 bytes.
/// Returns the bytes of an element.
int64_t widen(Axes& axes, const void* source, const void* target, int64_t element_bytes) {
  Axis& inner = axes.axis[axes.count - 1];
  while (element_bytes < 16 && inner.stride == 1 && inner.size % 2 == 0 &&
         aligned_to(2 * element_bytes, source, target)) {
    for (int d = 0; d + 1 < axes.count; ++d) {
      if (axes.axis[d].stride % 2 != 0) return element_bytes;
    }
    for (int d = 0; d + 1 < axes.count; ++d) axes.axis[d].stride /= 2;
    inner.size /= 2;
    element_bytes *= 2;
  }
  return element_bytes;
}

void strided(const void* source, std::span<const int64_t> dims, std::span<const int64_t> strides,
             void* target, int64_t element_bytes, Stream stream) {
  const Axes given = axes_of(dims, strides);
  require_element(element_bytes);
  if (elements_of(given) == 0) return;
  Axes axes = merged(given);
  const int64_t bytes = widen(axes, source, target, element_bytes);
  const int rows = axis_to_turn(axes);
  with_element(bytes, [&]<typename E>(E) {
    if (rows >= 0) {
      transpose<E>(source, axes, rows, target, stream);
    } else if (elements_of(axes) < INT32_MAX) {
      copy_any<E, uint32_t>(source, axes, target, stream);
    } else {
      copy_any<E, int64_t>(source, axes, target, stream);
    }
  });
}

constexpr Copy<float> kFast{strided, cast, image_to_float};
constexpr Copy<float> kNaive{strided_naive, cast_naive, image_to_float_naive};

}  // namespace

void register_copy() {
  register_table(kDevice, kFast);
  register_table(kDevice, kNaive, "naive");
}

}  // namespace mt::MT_BACKEND
