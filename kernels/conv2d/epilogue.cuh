#pragma once
// What becomes of the sums of a forward convolution, while they are still in registers (Conv2dEpilogue). The
// parts that are there are chosen at run time: all of them are one kernel.

#include "kernels/conv2d/conv2d.h"
#include "kernels/gemm/operands.cuh"

namespace mt::MT_BACKEND {

/// y (rows, columns) = (output pixels, K).
struct FusedResult {
  float* y;
  const float* residual;  // as y, or null
  const float* bias;      // (K) or null
  float* partial;         // (parts, 2, K): sums and sums of squares over a part of the rows; or null
  int rows;
  int columns;
  bool relu;
  bool vectorised;          // y, residual and K
  bool partial_vectorised;  // partial and K

  /// Four neighbouring columns, of which any may lie outside.
  struct Writer {
    const FusedResult& result;
    int column;
    float sums[4] = {0, 0, 0, 0};
    float square_sums[4] = {0, 0, 0, 0};

    __device__ void write(int row, const float (&sum)[4]) {
      if (row >= result.rows || column >= result.columns) return;
      const int64_t place = int64_t{row} * result.columns + column;
      float value[4];
      result.add_bias_and_residual(sum, place, column, value);
      if (result.partial != nullptr) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          sums[i] += value[i];
          square_sums[i] = fmaf(value[i], value[i], square_sums[i]);
        }
      }
#pragma unroll
      for (int i = 0; i < 4; ++i) value[i] = result.relu && value[i] < 0 ? 0 : value[i];  // keeps NaN
      store4(result.y + place, value, result.columns - column, result.vectorised);
    }

    /// Four lanes of the warp have summed rows of these columns: their sums, in a fixed tree, are the part's.
    __device__ void finish(int part) {
      if (result.partial != nullptr) {  // for the whole block
#pragma unroll
        for (unsigned lanes = 8; lanes < 32; lanes *= 2) {
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            sums[i] += simt::shuffle_xor(simt::kFullMask, sums[i], lanes);
            square_sums[i] += simt::shuffle_xor(simt::kFullMask, square_sums[i], lanes);
          }
        }
        if (simt::lane() < 8) {
          float* target = result.partial + 2 * int64_t{part} * result.columns + column;
          store4(target, sums, result.columns - column, result.partial_vectorised);
          store4(target + result.columns, square_sums, result.columns - column, result.partial_vectorised);
        }
      }
    }
  };
  __device__ Writer writer(int column) const {
    return {*this, column};
  }

  __device__ void add_bias_and_residual(const float (&sum)[4], int64_t place, int column,
                                        float (&value)[4]) const {
    float more[4] = {0, 0, 0, 0};
    if (residual != nullptr) load4(residual + place, more, columns - column, vectorised);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      value[i] = sum[i];
      if (bias != nullptr && column + i < columns) value[i] += bias[column + i];
      if (residual != nullptr) value[i] += more[i];
    }
  }
};

/// One thread per image and channel: the parts' sums of an image in order, in double. partial (N,parts,2,K),
/// sums and square_sums (N,K) or null.
template <int kThreads>
__global__ void add_parts(const float* partial, int64_t outputs, int64_t k, int64_t parts, float* sums,
                          float* square_sums) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i < outputs) {
    const float* part = partial + i / k * parts * 2 * k + i % k;
    double sum = 0;
    double square_sum = 0;
    for (int64_t p = 0; p < parts; ++p, part += 2 * k) {
      sum += static_cast<double>(part[0]);
      square_sum += static_cast<double>(part[k]);
    }
    if (sums != nullptr) sums[i] = static_cast<float>(sum);
    if (square_sums != nullptr) square_sums[i] = static_cast<float>(square_sum);
  }
}

}  // namespace mt::MT_BACKEND
