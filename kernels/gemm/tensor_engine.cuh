#pragma once
// Products of tiles on tensor cores, sm_80 and later. Four warps compute 128 × 64 sums, 64 × 32 each, as 4 ×
// 2 fragments of 16 × 16.

#include "kernels/common/split_fragment.cuh"
#include "kernels/device/fragment.h"
#include "kernels/gemm/tile.cuh"

namespace mt::MT_BACKEND {

/// What the three precisions share. `Precision` is that of the fragments.
template <typename Precision, int kTermsOfStep>
struct TensorTiles {
  static constexpr int kThreads = 128;
  static constexpr int kRows = 128;
  static constexpr int kColumns = 64;
  static constexpr int kTerms = kTermsOfStep;
  using Element = typename Precision::Element;

  static constexpr int kWarpRows = 64;
  static constexpr int kWarpColumns = 32;
  static constexpr int kPartRows = kWarpRows;
  static constexpr int kDown = kWarpRows / 16;            // fragments
  static constexpr int kAcross = kWarpColumns / 16;       // fragments
  static constexpr int kWriteLeading = kWarpColumns + 8;  // four rows' pairs meet 32 different banks
  static constexpr int kWriteBytes =
      kRows / kWarpRows * (kColumns / kWarpColumns) * kWarpRows * kWriteLeading * 4;

  struct Sums {
    simt::Accumulator<Precision> part[kDown][kAcross];
  };
  static __device__ int warp_row() { return static_cast<int>(simt::warp()) / 2 * kWarpRows; }
  static __device__ int warp_column() { return static_cast<int>(simt::warp()) % 2 * kWarpColumns; }

  /// The same for a whole warp.
  static __device__ bool computes(int rows, int columns) {
    return warp_row() < rows && warp_column() < columns;
  }

  static __device__ void clear(Sums& sums) {
#pragma unroll
    for (auto& row : sums.part) {
#pragma unroll
      for (auto& part : row) simt::fill(part, 0.0F);
    }
  }

  // A tile is (rows, terms) where terms lie together and (terms, rows) else; B is multiplied as (terms,
  // columns).
  template <typename Tile>
  using FragmentOfA =
      simt::FragmentA<Precision, Tile::kAlongTerms ? simt::Layout::row_major : simt::Layout::column_major>;
  template <typename Tile>
  using FragmentOfB =
      simt::FragmentB<Precision, Tile::kAlongTerms ? simt::Layout::column_major : simt::Layout::row_major>;

  /// Each warp lays its fragments out in shared memory and writes them line by line.
  template <typename Result>
  static __device__ void write(const Sums& sums, float* memory, const Result& result, int first_row,
                               int first_column) {
    float* mine = memory + static_cast<int>(simt::warp()) * kWarpRows * kWriteLeading;  // (64, 32)
#pragma unroll
    for (int i = 0; i < kDown; ++i) {
#pragma unroll
      for (int j = 0; j < kAcross; ++j)
        simt::store_accumulator(mine + i * 16 * kWriteLeading + j * 16, sums.part[i][j], kWriteLeading);
    }
    simt::sync_warp(simt::kFullMask);
    const int lane = static_cast<int>(simt::lane());
    const int column = lane % 8 * 4;
    auto writer = result.writer(first_column + warp_column() + column);
    for (int row = lane / 8; row < kWarpRows; row += 4) {
      const float4 v = simt::load_vector<float4>(mine + row * kWriteLeading + column);
      const float four[4] = {v.x, v.y, v.z, v.w};
      writer.write(first_row + warp_row() + row, four);
    }
    writer.finish((first_row + warp_row()) / kPartRows);
  }
};

/// Tiles of floats, copied by the hardware two steps ahead.
struct Tf32Tiles : TensorTiles<simt::Tf32, 16> {
  static constexpr int kLeastBlocks = 3;
  static constexpr int kStages = 3;
  static constexpr bool kAsync = true;
  static __device__ float element(float value) { return value; }
  template <int kLines, bool kAlongTerms>
  using TileOf = TileLayout<kLines, kTerms, kAlongTerms, kAlongTerms ? 4 : 8>;
};

/// Inputs rounded to 11 bits.
struct Tf32Engine : Tf32Tiles {
  template <typename TileA, typename TileB>
  static __device__ void accumulate(Sums& sums, const float* tile_a, const float* tile_b) {
#pragma unroll
    for (int term = 0; term < kTerms; term += simt::Tf32::kDepth) {
      FragmentOfB<TileB> b[kAcross];  // (8, 16) each
#pragma unroll
      for (int j = 0; j < kAcross; ++j) {
        simt::load_fragment(b[j], tile_b + TileB::at(warp_column() + j * 16, term), TileB::kLeading);
        simt::round_fragment(b[j]);
      }
#pragma unroll
      for (int i = 0; i < kDown; ++i) {
        FragmentOfA<TileA> a;  // (16, 8)
        simt::load_fragment(a, tile_a + TileA::at(warp_row() + i * 16, term), TileA::kLeading);
        simt::round_fragment(a);
#pragma unroll
        for (int j = 0; j < kAcross; ++j) simt::multiply_accumulate(sums.part[i][j], a, b[j]);
      }
    }
  }
};

/// Inputs as the sum of two tf32 numbers: as exact as float.
struct Tf32x3Engine : Tf32Tiles {
  template <typename TileA, typename TileB>
  static __device__ void accumulate(Sums& sums, const float* tile_a, const float* tile_b) {
#pragma unroll
    for (int term = 0; term < kTerms; term += simt::Tf32::kDepth) {
      SplitFragment<FragmentOfB<TileB>> b[kAcross];  // (8, 16) each
#pragma unroll
      for (int j = 0; j < kAcross; ++j)
        b[j].load(tile_b + TileB::at(warp_column() + j * 16, term), TileB::kLeading);
#pragma unroll
      for (int i = 0; i < kDown; ++i) {
        SplitFragment<FragmentOfA<TileA>> a;  // (16, 8)
        a.load(tile_a + TileA::at(warp_row() + i * 16, term), TileA::kLeading);
#pragma unroll
        for (int j = 0; j < kAcross; ++j) add_split_product(sums.part[i][j], a, b[j]);
      }
    }
  }
};

/// Inputs rounded to 8 bits on their way through registers into tiles of half the size. Where they come one
/// by one, steps are shorter: so many rows' addresses would not fit the registers.
template <int kVector>
struct Bf16Engine : TensorTiles<simt::Bf16, kVector == 4 ? 32 : 16> {
  using Base = TensorTiles<simt::Bf16, kVector == 4 ? 32 : 16>;
  using typename Base::Sums;
  static constexpr int kLeastBlocks = 2;
  static constexpr int kStages = 2;
  static constexpr bool kAsync = false;
  static __device__ simt::bfloat16 element(float value) { return simt::to_bfloat16(value); }
  template <int kLines, bool kAlongTerms>
  using TileOf = TileLayout<kLines, Base::kTerms, kAlongTerms, 8>;

  template <typename TileA, typename TileB>
  static __device__ void accumulate(Sums& sums, const simt::bfloat16* tile_a, const simt::bfloat16* tile_b) {
#pragma unroll
    for (int term = 0; term < Base::kTerms; term += simt::Bf16::kDepth) {
      typename Base::template FragmentOfB<TileB> b[Base::kAcross];  // (16, 16) each
#pragma unroll
      for (int j = 0; j < Base::kAcross; ++j)
        simt::load_fragment(b[j], tile_b + TileB::at(Base::warp_column() + j * 16, term), TileB::kLeading);
#pragma unroll
      for (int i = 0; i < Base::kDown; ++i) {
        typename Base::template FragmentOfA<TileA> a;  // (16, 16)
        simt::load_fragment(a, tile_a + TileA::at(Base::warp_row() + i * 16, term), TileA::kLeading);
#pragma unroll
        for (int j = 0; j < Base::kAcross; ++j) simt::multiply_accumulate(sums.part[i][j], a, b[j]);
      }
    }
  }
};

struct Tf32Engines {
  template <int kVector>
  using For = Tf32Engine;
};
struct Tf32x3Engines {
  template <int kVector>
  using For = Tf32x3Engine;
};
struct Bf16Engines {
  template <int kVector>
  using For = Bf16Engine<kVector>;
};

}  // namespace mt::MT_BACKEND
