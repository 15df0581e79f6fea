// SupCon by products in registers, float32 throughout: any GPU. The kernels: supcon_tiles.cuh.

#include "kernels/supcon/supcon_tiles.cuh"

namespace mt::MT_BACKEND {
namespace {

__device__ float element(const float4& v, int k) {
  return k == 0 ? v.x : k == 1 ? v.y : k == 2 ? v.z : v.w;
}

/// Each thread holds its 4 × 4 elements of a product in registers.
struct Fp32Product {
  static constexpr int kStages = 1;
  static constexpr int kChunksOfTwoBlocks = 2;

  struct Similarities {
    float sum[4][4];  // rows 4y + n, columns x + 16m

    __device__ void clear() {
#pragma unroll
      for (int n = 0; n < 4; ++n) {
#pragma unroll
        for (int m = 0; m < 4; ++m) sum[n][m] = 0;
      }
    }
    /// of_rows, of_columns: (kTile, kDepthStride)
    __device__ void add(const float* of_rows, const float* of_columns) {
      const Place at = place_of_thread();
#pragma unroll 2
      for (int k = 0; k < kDepth; k += 4) {
        float4 a[4];
        float4 b[4];
#pragma unroll
        for (int n = 0; n < 4; ++n) {
          a[n] = simt::load_vector<float4>(of_rows + (4 * at.y + n) * kDepthStride + k);
          b[n] = simt::load_vector<float4>(of_columns + (at.x + 16 * n) * kDepthStride + k);
        }
#pragma unroll
        for (int n = 0; n < 4; ++n) {
#pragma unroll
          for (int m = 0; m < 4; ++m) {
            sum[n][m] += a[n].x * b[m].x;
            sum[n][m] += a[n].y * b[m].y;
            sum[n][m] += a[n].z * b[m].z;
            sum[n][m] += a[n].w * b[m].w;
          }
        }
      }
    }
    /// Elements of their own only: no barrier.
    __device__ void write(float* square) const {  // (kTile, kTileStride)
      const Place at = place_of_thread();
#pragma unroll
      for (int n = 0; n < 4; ++n) {
#pragma unroll
        for (int m = 0; m < 4; ++m) square[(4 * at.y + n) * kTileStride + at.x + 16 * m] = sum[n][m];
      }
    }
  };

  template <int kChunks>
  struct Gradient {
    float sum[kChunks][4][4];  // rows 4y + n, elements 4x + m of each chunk

    __device__ void clear() {
#pragma unroll
      for (int c = 0; c < kChunks; ++c) {
#pragma unroll
        for (int n = 0; n < 4; ++n) {
#pragma unroll
          for (int m = 0; m < 4; ++m) sum[c][n][m] = 0;
        }
      }
    }
    /// g: (kTile rows, kTileStride columns); z: (kTile columns, kTileStride elements)
    __device__ void add(int c, const float* g, const float* z) {
      const Place at = place_of_thread();
#pragma unroll 2
      for (int j = 0; j < kTile; j += 4) {
        float4 a[4];  // of rows 4y + n, columns j … j+3
#pragma unroll
        for (int n = 0; n < 4; ++n) a[n] = simt::load_vector<float4>(g + (4 * at.y + n) * kTileStride + j);
#pragma unroll
        for (int k = 0; k < 4; ++k) {
          const float4 b = simt::load_vector<float4>(z + (j + k) * kTileStride + 4 * at.x);
#pragma unroll
          for (int n = 0; n < 4; ++n) {
            const float factor = element(a[n], k);
            sum[c][n][0] += factor * b.x;
            sum[c][n][1] += factor * b.y;
            sum[c][n][2] += factor * b.z;
            sum[c][n][3] += factor * b.w;
          }
        }
      }
    }
    __device__ void read(int c, float*, float (&s)[4][4]) const {
#pragma unroll
      for (int n = 0; n < 4; ++n) {
#pragma unroll
        for (int m = 0; m < 4; ++m) s[n][m] = sum[c][n][m];
      }
    }
  };
};

}  // namespace

void supcon_statistics_fp32(const SupConBatch<float>& batch, float* lse, float* positive_sum,
                            int32_t* positive_count, Stream stream) {
  tiled_statistics<Fp32Product>(batch, lse, positive_sum, positive_count, stream);
}

void supcon_gradient_fp32(const SupConBatch<float>& batch, const SupConTerm* terms, float* dz,
                          Stream stream) {
  tiled_gradient<Fp32Product>(batch, terms, dz, stream);
}

}  // namespace mt::MT_BACKEND
