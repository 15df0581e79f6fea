#include <algorithm>
#include <vector>

#include "kernels/common/scratch.h"
#include "kernels/common/tables.h"
#include "kernels/gemm/gemm.h"
#include "kernels/gemm/pack.h"
#include "kernels/gemm/tile.h"
#include "tensor/parallel.h"

namespace mt {
namespace {

struct Problem {
  bool transpose_a;
  bool transpose_b;
  int64_t m;
  int64_t n;
  int64_t k;
  const float* a;
  int64_t lda;
  const float* b;
  int64_t ldb;
  float beta;
  float* c;
  int64_t ldc;
  GemmEpilogue<float> epilogue;
};

// Cache blocks: a strip of kDepth x 32 of B and a tile's rows of A stay in the first-level cache, kRowBlock x
// kDepth of A in the second. A task is kRowBlock x kColumnBlock of C.
constexpr int64_t kDepth = 256;
constexpr int64_t kRowBlock = 224;
constexpr int64_t kColumnBlock = 256;
// Rows of A this many floats apart, or a multiple, fall into the same few cache sets and push each other out.
constexpr int64_t kAliasingStride = 512;
// With at most this many rows (or columns) the product is a handful of dot products.
constexpr int64_t kFewRows = 3;

int64_t blocks(int64_t n, int64_t size) {
  return (n + size - 1) / size;
}

void scale(float* c, int64_t n, float beta) {
  for (int64_t j = 0; j < n; ++j) c[j] *= beta;
}

/// Bias and activation on columns [begin, begin + n) of a row of C, which starts at c.
void finish(const GemmEpilogue<float>& epilogue, int64_t begin, float* c, int64_t n) {
  if (epilogue.bias != nullptr) {
    for (int64_t j = 0; j < n; ++j) c[j] += epilogue.bias[begin + j];
  }
  if (epilogue.activation == GemmActivation::relu) {
    for (int64_t j = 0; j < n; ++j) c[j] = c[j] < 0 ? 0 : c[j];
  } else if (epilogue.activation == GemmActivation::tanh) {
    tile_engine().tanh(c, n);
  }
}

/// The strips of B that tiles read: (k, width) each, width = vectors * lanes. Packed, or the matrix itself.
class Panels {
 public:
  Panels(const Problem& p, float* packed) : p_(p), packed_(packed), width_(tile_engine().width()) {}
  static int64_t floats(const Problem& p) {
    const int64_t width = tile_engine().width();
    return blocks(p.n, width) * width * p.k;
  }
  /// One row of tiles reads B once: packing all of it would cost more than it saves. Whole vectors must be
  /// there.
  bool in_place(int64_t panel) const {
    return !p_.transpose_b && p_.m <= tile_engine().rows[1] && (panel + 1) * width_ <= p_.n;
  }
  void pack(int64_t panel) const {
    const int64_t j = panel * width_;
    const int64_t columns = std::min(width_, p_.n - j);
    float* target = packed_ + panel * width_ * p_.k;
    if (in_place(panel)) return;
    if (p_.transpose_b)
      pack_columns(p_.b + j * p_.ldb, p_.ldb, p_.k, columns, width_, target);
    else
      pack_rows(p_.b + j, p_.ldb, p_.k, columns, width_, target);
  }
  int64_t step(int64_t panel) const { return in_place(panel) ? p_.ldb : width_; }
  const float* at(int64_t panel, int64_t t) const {
    return (in_place(panel) ? p_.b + panel * width_ : packed_ + panel * width_ * p_.k) + t * step(panel);
  }
  int64_t width() const { return width_; }

 private:
  const Problem& p_;
  float* packed_;
  int64_t width_;
};

/// Rows [row, row + rows) of op(A), terms [t, t + depth): row pointers and the distance between terms.
struct RowsOfA {
  std::vector<const float*> pointers;
  int64_t step = 1;

  void point_to(const Problem& p, int64_t row, int64_t rows, int64_t t, int64_t depth) {
    thread_local Scratch scratch;
    pointers.resize(static_cast<std::size_t>(rows));
    step = 1;
    if (!p.transpose_a && (p.lda % kAliasingStride != 0 || p.n <= kColumnBlock / 4)) {
      for (int64_t i = 0; i < rows; ++i) pointers[static_cast<std::size_t>(i)] = p.a + (row + i) * p.lda + t;
      return;
    }
    // Copied: as (depth, rows) from a transposed A, else as rows that are an odd number of cache lines apart.
    const int64_t stride = (depth / 16 | 1) * 16 + 16;
    float* copy = scratch.reserve(p.transpose_a ? depth * rows : rows * stride);
    if (p.transpose_a) {
      pack_rows(p.a + t * p.lda + row, p.lda, depth, rows, rows, copy);
      step = rows;
    } else {
      pack_rows(p.a + row * p.lda + t, p.lda, rows, depth, stride, copy);
    }
    for (int64_t i = 0; i < rows; ++i) {
      pointers[static_cast<std::size_t>(i)] = copy + i * (p.transpose_a ? 1 : stride);
    }
  }
};

/// One block of C: rows [row, row + rows), panels [first, last).
void multiply_block(const Problem& p, const Panels& panels, int64_t row, int64_t rows, int64_t first,
                    int64_t last) {
  const TileEngine& engine = tile_engine();
  const int64_t begin = first * panels.width();
  const int64_t columns = std::min(p.n, last * panels.width()) - begin;
  std::vector<float*> c(static_cast<std::size_t>(rows));
  for (int64_t i = 0; i < rows; ++i) {
    c[static_cast<std::size_t>(i)] = p.c + (row + i) * p.ldc;
    float* block = p.c + (row + i) * p.ldc + begin;
    if (p.beta == 0 && p.k == 0)
      std::fill_n(block, columns, 0.0F);
    else if (p.beta != 0 && p.beta != 1)
      scale(block, columns, p.beta);
  }
  RowsOfA a;
  for (int64_t t = 0; t < p.k; t += kDepth) {
    const int64_t depth = std::min(kDepth, p.k - t);
    a.point_to(p, row, rows, t, depth);
    for (int64_t panel = first; panel < last; ++panel) {
      const int64_t j = panel * panels.width();
      const int64_t width = std::min(panels.width(), p.n - j);
      const int64_t vectors = blocks(width, engine.lanes);
      const int64_t tiles = blocks(rows, engine.rows[static_cast<std::size_t>(vectors)]);
      for (int64_t tile = 0; tile < tiles; ++tile) {
        const int64_t i = tile * rows / tiles;
        const TileTerms terms{.a = a.pointers.data() + i,
                              .a_step = a.step,
                              .b = panels.at(panel, t),
                              .b_step = panels.step(panel),
                              .run_length = depth};
        const TileResult result{
            .c = c.data() + i,
            .offset = j,
            .columns = width,
            .start = t > 0 || p.beta != 0 ? TileStart::from_result : TileStart::from_zero};
        engine.multiply((tile + 1) * rows / tiles - i, vectors, terms, result);
      }
    }
  }
  for (int64_t i = 0; i < rows; ++i) finish(p.epilogue, begin, p.c + (row + i) * p.ldc + begin, columns);
}

void multiply_tiled(const Problem& p) {
  thread_local Scratch scratch;
  const Panels panels(p, scratch.reserve(Panels::floats(p)));
  const int64_t panel_count = blocks(p.n, panels.width());
  // Less than 256 KiB of packing is not worth a second thread.
  const int64_t panels_per_range =
      std::max<int64_t>(1, 64 * 1024 / std::max<int64_t>(1, p.k * panels.width()));
  parallel_for(panel_count, panels_per_range, [&](int64_t begin, int64_t end) {
    for (int64_t panel = begin; panel < end; ++panel) panels.pack(panel);
  });
  const int64_t panels_per_task = kColumnBlock / panels.width();
  const int64_t row_tasks = blocks(p.m, kRowBlock);
  const int64_t column_tasks = blocks(panel_count, panels_per_task);
  parallel_for(row_tasks * column_tasks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t row = task / column_tasks * p.m / row_tasks;
      const int64_t rows = (task / column_tasks + 1) * p.m / row_tasks - row;
      const int64_t column = task % column_tasks;
      multiply_block(p, panels, row, rows, column * panel_count / column_tasks,
                     (column + 1) * panel_count / column_tasks);
    }
  });
}

/// Column j of op(B), or row i of op(A), as k contiguous floats; copied into `copy` where it is not
/// contiguous in memory.
const float* contiguous(const float* start, int64_t stride, int64_t k, float* copy) {
  if (stride == 1) return start;
  for (int64_t t = 0; t < k; ++t) copy[t] = start[t * stride];
  return copy;
}

/// c[j * stride] = activation(y[j] + beta c[j * stride] + bias[j * bias_step])
void store_dots(const Problem& p, const float* y, int64_t n, float* c, int64_t stride, int64_t column,
                int64_t column_step) {
  for (int64_t j = 0; j < n; ++j) {
    float& out = c[j * stride];
    out = p.beta == 0 ? y[j] : y[j] + p.beta * out;
    finish(p.epilogue, column + j * column_step, &out, 1);
  }
}

constexpr int64_t kDotsPerTask = 64;

/// Few rows times a B whose columns are contiguous.
void multiply_few_rows(const Problem& p) {
  thread_local Scratch scratch;
  float* y = scratch.reserve(p.n + p.k);  // (n), then a copy of a row (k)
  for (int64_t i = 0; i < p.m; ++i) {
    const float* x =
        contiguous(p.transpose_a ? p.a + i : p.a + i * p.lda, p.transpose_a ? p.lda : 1, p.k, y + p.n);
    parallel_for(p.n, kDotsPerTask, [&](int64_t begin, int64_t end) {
      tile_engine().dot_rows(x, p.b + begin * p.ldb, p.ldb, end - begin, p.k, y + begin);
      store_dots(p, y + begin, end - begin, p.c + i * p.ldc + begin, 1, begin, 1);
    });
  }
}

/// An A whose rows are contiguous times few columns.
void multiply_few_columns(const Problem& p) {
  thread_local Scratch scratch;
  float* y = scratch.reserve(p.m + p.k);  // (m), then a copy of a column (k)
  for (int64_t j = 0; j < p.n; ++j) {
    const float* x =
        contiguous(p.transpose_b ? p.b + j * p.ldb : p.b + j, p.transpose_b ? 1 : p.ldb, p.k, y + p.m);
    parallel_for(p.m, kDotsPerTask, [&](int64_t begin, int64_t end) {
      tile_engine().dot_rows(x, p.a + begin * p.lda, p.lda, end - begin, p.k, y + begin);
      store_dots(p, y + begin, end - begin, p.c + begin * p.ldc + j, p.ldc, j, 0);
    });
  }
}

void multiply(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, const float* a,
              int64_t lda, const float* b, int64_t ldb, float beta, float* c, int64_t ldc,
              const GemmEpilogue<float>& epilogue, Stream) {
  if (m == 0 || n == 0) return;
  const Problem p{transpose_a, transpose_b, m, n, k, a, lda, b, ldb, beta, c, ldc, epilogue};
  if (m <= kFewRows && transpose_b)
    multiply_few_rows(p);
  else if (n <= kFewRows && !transpose_a)
    multiply_few_columns(p);
  else
    multiply_tiled(p);
}

}  // namespace

template <>
const Gemm<float>& gemm<float>(Device device) {
  static constexpr Gemm<float> table{multiply};
  return device == Device::cpu ? table : chosen_table<Gemm<float>>(device, "gemm");
}

}  // namespace mt
