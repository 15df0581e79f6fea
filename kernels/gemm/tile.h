#pragma once
// The one inner loop behind matrix products and convolutions: a small block of sums held in registers.

#include <array>
#include <cstdint>

namespace mt {

inline constexpr int kMostTileVectors = 4;

/// The terms of a tile: sum over g < groups, u < runs, t < run_length of
///   a[i][a_first + g a_group + u a_run + t a_step] * b[g b_group + u b_run + t b_step + j].
/// The sum runs over g, u, t in that order, with one (fused, where the machine can) multiply-add a term:
/// neither the size of tiles nor the width of vectors changes a bit of the result.
struct TileTerms {
  const float* const* a = nullptr;  // one pointer per row of the tile
  int64_t a_first = 0;              // added to each of them
  int64_t a_step = 1;
  int64_t a_run = 0;
  int64_t a_group = 0;
  const float* b = nullptr;  // whole vectors are read: `vectors * lanes` floats must be readable at each term
  int64_t b_step = 1;
  int64_t b_run = 0;
  int64_t b_group = 0;
  int64_t groups = 1;
  int64_t runs = 1;
  int64_t run_length = 0;
};

/// What a tile does with the values that are in c: forgets them, lets its sums start from them, or adds its
/// sums to them at the end.
enum class TileStart : uint8_t { from_zero, from_result, add_to_result };

/// Where a tile goes: row i to c[i][offset … offset + columns).
struct TileResult {
  float* const* c = nullptr;  // one pointer per row of the tile
  int64_t offset = 0;
  int64_t columns = 0;  // at least 1, and more than (vectors - 1) * lanes
  TileStart start = TileStart::from_zero;
};

/// The tiles of the machine's instruction set.
struct TileEngine {
  int64_t lanes;    // floats in a vector
  int64_t vectors;  // most vectors of a tile
  /// Most rows of a tile of v vectors: as many as the registers hold; rows[0] is not used.
  std::array<int64_t, kMostTileVectors + 1> rows;

  /// Floats of the widest tile, the width of packed panels.
  int64_t width() const { return lanes * vectors; }

  void (*multiply)(int64_t rows, int64_t vectors, const TileTerms& terms, const TileResult& result);
  /// y[j] = sum over t of x[t] rows[j * stride + t] for j < n, in 16 partial sums whatever the vector.
  void (*dot_rows)(const float* x, const float* rows, int64_t stride, int64_t n, int64_t k, float* y);
  /// c[j] = tanh(c[j]) for j < n.
  void (*tanh)(float* c, int64_t n);
};

const TileEngine& tile_engine();

}  // namespace mt
