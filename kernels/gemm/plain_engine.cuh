#pragma once
// Products of tiles with ordinary float arithmetic: any GPU. A block of 128 threads computes 128 × 64 sums, a
// thread 8 × 8 of them in registers: 16 values are read from shared memory for 64 multiply-adds.

#include "kernels/gemm/tile.cuh"

namespace mt::MT_BACKEND {

struct PlainEngine {
  static constexpr int kThreads = 128;
  static constexpr int kLeastBlocks = 3;
  static constexpr int kRows = 128;
  static constexpr int kColumns = 64;
  static constexpr int kTerms = 16;
  static constexpr int kStages = 2;
  static constexpr bool kAsync = false;
  static constexpr int kWriteBytes = 0;
  static constexpr int kPartRows = 32;  // of a warp: 16 neighbours and those 64 further down
  using Element = float;
  static __device__ float element(float value) { return value; }
  /// Rows lie together whatever their order in memory, so that a thread reads four at once.
  template <int kLines, bool kAlongTerms>
  using TileOf = TileLayout<kLines, kTerms, false, 4>;

  /// Rows 4 y … 4 y + 3 and those 64 further down, columns 4 x … 4 x + 3 and those 32 further right.
  struct Sums {
    float value[8][8];
  };
  static __device__ int x() { return static_cast<int>(threadIdx.x) % 8; }
  static __device__ int y() { return static_cast<int>(threadIdx.x) / 8; }
  static __device__ int row_of(int i) { return i / 4 * (kRows / 2) + 4 * y() + i % 4; }
  static __device__ int column_of(int j) { return j / 4 * (kColumns / 2) + 4 * x() + j % 4; }

  static __device__ bool computes(int rows, int columns) {
    return row_of(0) < rows && column_of(0) < columns;
  }

  static __device__ void clear(Sums& sums) {
#pragma unroll
    for (auto& row : sums.value) {
#pragma unroll
      for (float& sum : row) sum = 0;
    }
  }

  static __device__ void read4(const float* source, float* target) {
    const float4 v = simt::load_vector<float4>(source);
    target[0] = v.x;
    target[1] = v.y;
    target[2] = v.z;
    target[3] = v.w;
  }

  template <typename TileA, typename TileB>
  static __device__ void accumulate(Sums& sums, const float* tile_a, const float* tile_b) {
#pragma unroll 4
    for (int term = 0; term < kTerms; ++term) {
      float a[8];
      float b[8];
      read4(tile_a + TileA::at(row_of(0), term), a);
      read4(tile_a + TileA::at(row_of(4), term), a + 4);
      read4(tile_b + TileB::at(column_of(0), term), b);
      read4(tile_b + TileB::at(column_of(4), term), b + 4);
#pragma unroll
      for (int i = 0; i < 8; ++i) {
#pragma unroll
        for (int j = 0; j < 8; ++j) sums.value[i][j] += a[i] * b[j];
      }
    }
  }

  template <typename Result>
  static __device__ void write(const Sums& sums, float*, const Result& result, int first_row,
                               int first_column) {
#pragma unroll
    for (int j = 0; j < 8; j += 4) {
      auto writer = result.writer(first_column + column_of(j));
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        const float four[4] = {sums.value[i][j], sums.value[i][j + 1], sums.value[i][j + 2],
                               sums.value[i][j + 3]};
        writer.write(first_row + row_of(i), four);
      }
      writer.finish(first_row / kPartRows + static_cast<int>(simt::warp()));
    }
  }
};

struct PlainEngines {
  template <int kVector>
  using For = PlainEngine;
};

}  // namespace mt::MT_BACKEND
