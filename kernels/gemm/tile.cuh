#pragma once
// The one tile loop behind matrix products and convolutions: a block computes a tile of C, walking along the
// terms in steps; while it multiplies one step's tiles of A and B from shared memory, the next ones are under
// way.
//
// Where A, B and C lie is the problem's business (operands.cuh), how tiles are multiplied the engine's
// (plain_engine.cuh, tensor_engine.cuh). An engine has
//   kThreads            of a block
//   kLeastBlocks        that a multiprocessor's registers hold, where operands are read in vectors
//   kRows, kColumns     of a block's tile of C;  kTerms of a step
//   kStages             tiles of A and of B in shared memory at a time
//   kAsync              whether they are copied there by the hardware (else through registers)
//   Element, element()  of tiles, and an element from a float
//   TileOf<kLines, kAlongTerms>     the tile's layout in shared memory: (kLines, kTerms)
//   Sums                the calling thread's share of the tile of C; clear(), accumulate() and write()
//   computes(rows, columns)         whether that share meets a tile with so many rows and columns
//   kWriteBytes         shared memory that write() needs
//   kPartRows           rows of C that a warp writes

#include <utility>

#include "kernels/device/kernel.h"
#include "kernels/gemm/operands.cuh"

namespace mt::MT_BACKEND {

/// (kLines, kTerms) elements in shared memory; padding spreads the lines over the banks.
template <int kLines, int kTerms, bool kTermsTogether, int kPadding>
struct TileLayout {
  static constexpr int kLeading = (kTermsTogether ? kTerms : kLines) + kPadding;
  static constexpr int kElements = (kTermsTogether ? kLines : kTerms) * kLeading;
  static constexpr bool kAlongTerms = kTermsTogether;
  static __device__ constexpr int at(int line, int term) {
    return kTermsTogether ? line * kLeading + term : term * kLeading + line;
  }
};

/// Operand::Loaded, or nothing of use.
template <typename Operand>
struct LoadedOf {
  using Type = char;
};
template <typename Operand>
requires requires {
  typename Operand::Loaded;
}
struct LoadedOf<Operand> {
  using Type = typename Operand::Loaded;
};

/// Brings an operand's tiles (kLines, kTerms) into shared memory. Neighbouring threads take neighbouring
/// vectors.
template <typename Engine, typename Operand, int kLines>
class TileLoader {
 public:
  using Tile = typename Engine::template TileOf<kLines, Operand::kAlongTerms>;
  using Element = typename Engine::Element;

  __device__ TileLoader(const Operand& operand, int first_row) : operand_(operand) {
    along_ = static_cast<int>(threadIdx.x) % kAcross * kVector;
    across_ = static_cast<int>(threadIdx.x) / kAcross;
#pragma unroll
    for (int i = 0; i < kRowsKnown; ++i) rows_[i] = operand.row(first_row + line_of(i));
  }

  /// Starts to bring the terms from first_term on.
  __device__ void fetch(int first_term, Element* tile) {
    if constexpr (kComputes) {
      const auto term = operand_.term(first_term + along_);
#pragma unroll
      for (int i = 0; i < kPasses; ++i) loaded_[i] = operand_.load(rows_[i], term);
    } else if constexpr (Operand::kAlongTerms) {
      const auto term = operand_.term(first_term + along_);
#pragma unroll
      for (int i = 0; i < kPasses; ++i) fetch_vector(i, operand_.at(rows_[i], term), tile);
    } else {
#pragma unroll
      for (int i = 0; i < kPasses; ++i)
        fetch_vector(i, operand_.at(rows_[0], operand_.term(first_term + term_of(i))), tile);
    }
  }

  /// Puts what waits in registers into shared memory.
  __device__ void land(Element* tile) {
    if constexpr (kComputes) {
#pragma unroll
      for (int i = 0; i < kPasses; ++i) tile[place_of(i, 0)] = Engine::element(operand_.value(loaded_[i]));
    } else if constexpr (!Engine::kAsync) {
#pragma unroll
      for (int i = 0; i < kPasses; ++i) {
#pragma unroll
        for (int v = 0; v < kVector; ++v) tile[place_of(i, v)] = Engine::element(staged_[i][v]);
      }
    }
  }

 private:
  static constexpr int kVector = Operand::kVector;
  static constexpr int kAcross =
      (Operand::kAlongTerms ? Engine::kTerms : kLines) / kVector;  // threads side by side
  static constexpr int kPasses = kLines * Engine::kTerms / (kVector * Engine::kThreads);
  static constexpr int kRowsKnown = Operand::kAlongTerms ? kPasses : 1;
  static_assert(Engine::kThreads % kAcross == 0 && kPasses >= 1);
  /// Elements are computed from what was read: through registers, whatever the engine.
  static constexpr bool kComputes = requires {
    typename Operand::Loaded;
  };
  static_assert(!kComputes || (Operand::kAlongTerms && kVector == 1));

  __device__ int line_of(int pass) const {
    return Operand::kAlongTerms ? across_ + pass * (Engine::kThreads / kAcross) : along_;
  }
  __device__ int term_of(int pass) const {
    return Operand::kAlongTerms ? along_ : across_ + pass * (Engine::kThreads / kAcross);
  }
  /// Of element v of the pass' vector.
  __device__ int place_of(int pass, int v) const {
    return Operand::kAlongTerms ? Tile::at(line_of(pass), term_of(pass) + v)
                                : Tile::at(line_of(pass) + v, term_of(pass));
  }

  __device__ void fetch_vector(int pass, const Source& source, Element* tile) {
    if constexpr (Engine::kAsync) {
      simt::copy_async<kVector * 4>(tile + place_of(pass, 0), source.address, source.valid);
    } else if constexpr (kVector == 4) {
      const float4 v = source.valid ? simt::load_vector<float4>(source.address) : float4{0, 0, 0, 0};
      staged_[pass][0] = v.x;
      staged_[pass][1] = v.y;
      staged_[pass][2] = v.z;
      staged_[pass][3] = v.w;
    } else {
      staged_[pass][0] = source.valid ? *source.address : 0;
    }
  }

  using Row = decltype(std::declval<const Operand&>().row(0));
  const Operand& operand_;
  int along_;   // first element of this thread's vectors along the operand's lines in memory
  int across_;  // the line of its first vector
  Row rows_[kRowsKnown];
  float staged_[Engine::kAsync || kComputes ? 1 : kPasses][kVector];
  typename LoadedOf<Operand>::Type loaded_[kComputes ? kPasses : 1];
};

/// A part of a problem: one tile grid and the terms [first_term, last_term) that are summed there.
template <typename A, typename B, typename Result>
struct Slice {
  A a;
  B b;
  Result result;
  int rows;
  int columns;
  int first_term;
  int last_term;
};

template <typename Engine, typename A, typename B>
struct Stages {
  using TileA = typename Engine::template TileOf<Engine::kRows, A::kAlongTerms>;
  using TileB = typename Engine::template TileOf<Engine::kColumns, B::kAlongTerms>;
  static constexpr int kElements = TileA::kElements + TileB::kElements;  // of one stage
  static constexpr int kTileBytes =
      Engine::kStages * kElements * static_cast<int>(sizeof(typename Engine::Element));
  static constexpr int kBytes = kTileBytes > Engine::kWriteBytes ? kTileBytes : Engine::kWriteBytes;
};

template <typename Engine, typename A, typename B, typename Result>
__device__ inline void compute_tile(const Slice<A, B, Result>& slice, int first_row, int first_column) {
  using Shared = Stages<Engine, A, B>;
  using Element = typename Engine::Element;
  constexpr int kAhead = Engine::kStages - 1;  // steps
  DYN_SHARED(float, memory);
  const auto tile_a = [&](int step) {  // (kRows, kTerms)
    return reinterpret_cast<Element*>(memory) + step % Engine::kStages * Shared::kElements;
  };
  const auto tile_b = [&](int step) {
    return tile_a(step) + Shared::TileA::kElements;
  };  // (kColumns, kTerms)

  TileLoader<Engine, A, Engine::kRows> loader_a(slice.a, first_row);
  TileLoader<Engine, B, Engine::kColumns> loader_b(slice.b, first_column);
  const int steps = (slice.last_term - slice.first_term + Engine::kTerms - 1) / Engine::kTerms;
  const auto fetch = [&](int step) {
    if (step < steps) {
      loader_a.fetch(slice.first_term + step * Engine::kTerms, tile_a(step));
      loader_b.fetch(slice.first_term + step * Engine::kTerms, tile_b(step));
    }
    if constexpr (Engine::kAsync) simt::commit_async();  // also an empty group: they are counted
  };
  const auto land = [&](int step) {
    if (step < steps) {
      loader_a.land(tile_a(step));
      loader_b.land(tile_b(step));
    }
  };

  typename Engine::Sums sums;
  Engine::clear(sums);
  const bool computes = Engine::computes(slice.rows - first_row, slice.columns - first_column);
  for (int step = 0; step < kAhead; ++step) {
    fetch(step);
    land(step);
  }
  for (int step = 0; step < steps; ++step) {
    if constexpr (Engine::kAsync) simt::wait_async<kAhead - 1>();  // this step's tiles are there
    simt::sync_threads();  // for all threads; and all are done with the stage that is filled next
    fetch(step + kAhead);
    if (computes) {
      Engine::template accumulate<typename Shared::TileA, typename Shared::TileB>(sums, tile_a(step),
                                                                                  tile_b(step));
    }
    land(step + kAhead);
  }
  if constexpr (Engine::kAsync) simt::wait_async<0>();
  simt::sync_threads();  // the tiles' memory is free
  Engine::write(sums, memory, slice.result, first_row, first_column);
}

/// The tile that a block takes. Blocks start in the order of their numbers, x first; so that those that run
/// at the same time share tiles of A and of B in the L2 cache, kGroup tiles of rows go through all tiles of
/// columns before the next rows begin: of a product of 16,384 × 4,096, an H100's 396 blocks then read 16
/// tiles of A and 25 of B (3,600 lines), not 128 and 3 (16,600).
struct TilePlace {
  static constexpr unsigned kGroup = 16;
  __device__ TilePlace() {
    const unsigned number = blockIdx.y * gridDim.x + blockIdx.x;  // below 2^32: C would not fit a memory else
    const unsigned first = number / (kGroup * gridDim.y) * kGroup;
    const unsigned rows = gridDim.x - first < kGroup ? gridDim.x - first : kGroup;
    const unsigned in_group = number - first * gridDim.y;
    row = static_cast<int>(first + in_group % rows);
    column = static_cast<int>(in_group / rows);
  }
  int row;
  int column;
};

/// Blocks that a multiprocessor's registers must hold. Operands read one by one need more registers for
/// addresses.
template <typename Engine, typename Problem>
constexpr int kLeastBlocks =
    decltype(std::declval<const Problem&>().slice(0).b)::kVector == 4 ? Engine::kLeastBlocks : 2;

/// Grid (tiles of rows, tiles of columns, slices). Problem: slice(z), the same type of Slice for each z.
template <typename Engine, typename Problem>
__global__ __launch_bounds__(Engine::kThreads,
                             kLeastBlocks<Engine, Problem>) void multiply_tiles(Problem problem) {
  const auto slice = problem.slice(static_cast<int>(blockIdx.z));
  const TilePlace tile;
  const int first_row = tile.row * Engine::kRows;
  const int first_column = tile.column * Engine::kColumns;
  if (first_row < slice.rows && first_column < slice.columns) {  // for the whole block
    compute_tile<Engine>(slice, first_row, first_column);
  }
}

}  // namespace mt::MT_BACKEND
