// SupCon on tensor cores, sm_80 and later: each float is the sum of two TF32 numbers (split_fragment.cuh).
// The kernels: supcon_tiles.cuh.

#include "kernels/common/split_fragment.cuh"
#include "kernels/supcon/supcon_tiles.cuh"

namespace mt::MT_BACKEND {
namespace {

using simt::Layout;
using Sum = simt::Accumulator<simt::Tf32>;  // (16, 16)
constexpr int kStep = simt::Tf32::kDepth;

template <Layout kLayout>
using SplitA = SplitFragment<simt::FragmentA<simt::Tf32, kLayout>>;
template <Layout kLayout>
using SplitB = SplitFragment<simt::FragmentB<simt::Tf32, kLayout>>;

/// Eight warps: each owns 16 rows and 32 columns of a tile (kTile, kTile).
struct WarpTile {
  __device__ WarpTile()
      : row(static_cast<int>(simt::warp()) % 4 * 16), column(static_cast<int>(simt::warp()) / 4 * 32) {}
  int row;
  int column;
};

/// Two 16 × 16 sums side by side into square (kTile, kTileStride); sync_threads before others read them.
__device__ void store_sums(float* square, const Sum (&sum)[2]) {
  const WarpTile own;
#pragma unroll
  for (int c = 0; c < 2; ++c) {
    simt::store_accumulator(square + own.row * kTileStride + own.column + 16 * c, sum[c], kTileStride);
  }
}

struct Tf32x3Product {
  static constexpr int kStages = 2;
  static constexpr int kChunksOfTwoBlocks = 0;

  struct Similarities {
    Sum sum[2];

    __device__ void clear() {
      simt::fill(sum[0], 0.0F);
      simt::fill(sum[1], 0.0F);
    }
    /// of_rows, of_columns: (kTile, kDepthStride)
    __device__ void add(const float* of_rows, const float* of_columns) {
      const WarpTile own;
#pragma unroll 1  // two at a time spill registers on sm_90
      for (int k = 0; k < kDepth; k += kStep) {
        SplitA<Layout::row_major> a;  // (16, 8)
        a.load(of_rows + own.row * kDepthStride + k, kDepthStride);
#pragma unroll
        for (int c = 0; c < 2; ++c) {
          SplitB<Layout::column_major> b;  // (8, 16): z of 16 columns, transposed
          b.load(of_columns + (own.column + 16 * c) * kDepthStride + k, kDepthStride);
          add_split_product(sum[c], a, b);
        }
      }
    }
    __device__ void write(float* square) const {
      store_sums(square, sum);
      simt::sync_threads();
    }
  };

  template <int kChunks>
  struct Gradient {
    Sum sum[kChunks][2];

    __device__ void clear() {
#pragma unroll
      for (int c = 0; c < kChunks; ++c) {
        simt::fill(sum[c][0], 0.0F);
        simt::fill(sum[c][1], 0.0F);
      }
    }
    /// g: (kTile rows, kTileStride columns); z: (kTile columns, kTileStride elements)
    __device__ void add(int chunk, const float* g, const float* z) {
      const WarpTile own;
#pragma unroll 2
      for (int k = 0; k < kTile; k += kStep) {
        SplitA<Layout::row_major> a;  // (16, 8)
        a.load(g + own.row * kTileStride + k, kTileStride);
#pragma unroll
        for (int c = 0; c < 2; ++c) {
          SplitB<Layout::row_major> b;  // (8, 16)
          b.load(z + k * kTileStride + own.column + 16 * c, kTileStride);
          add_split_product(sum[chunk][c], a, b);
        }
      }
    }
    __device__ void read(int chunk, float* square, float (&s)[4][4]) const {
      const Place at = place_of_thread();
      simt::sync_threads();  // the square's last readers are done
      store_sums(square, sum[chunk]);
      simt::sync_threads();
#pragma unroll
      for (int n = 0; n < 4; ++n) {
#pragma unroll
        for (int m = 0; m < 4; ++m) s[n][m] = square[(4 * at.y + n) * kTileStride + 4 * at.x + m];
      }
    }
  };
};

void require_tensor_cores() {
  if (kDevice == Device::cuda && device_runtime(kDevice).architecture() < 80)
    fail_kernel("supcon: tf32x3 needs a GPU of compute capability 8.0 or later");
}

}  // namespace

void supcon_statistics_tf32x3(const SupConBatch<float>& batch, float* lse, float* positive_sum,
                              int32_t* positive_count, Stream stream) {
  require_tensor_cores();
  tiled_statistics<Tf32x3Product>(batch, lse, positive_sum, positive_count, stream);
}

void supcon_gradient_tf32x3(const SupConBatch<float>& batch, const SupConTerm* terms, float* dz,
                            Stream stream) {
  require_tensor_cores();
  tiled_gradient<Tf32x3Product>(batch, terms, dz, stream);
}

}  // namespace mt::MT_BACKEND
