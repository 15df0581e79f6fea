#pragma once
// What a product C = A B of matrices is made of: where A (rows × terms) and B (columns × terms, that is Bᵀ)
// lie in memory, and what becomes of an element's sum. Here for plain matrices; kernels/conv2d/patches.cuh
// has the convolutions' own.
//
// An operand has rows (for B: the columns of C) and terms (of the sum), and
//   kAlongTerms         whether neighbouring terms (else: neighbouring rows) are neighbours in memory
//   kVector             1 or 4: how many of those neighbours are read at once; all of them are there, or none
//   row(i), term(t)     what is to be known about a row or term: once for a whole line of a tile
//   at(row, term)       the address of the element and whether there is one; 0 stands where there is none
// An operand whose elements are computed from what lies in memory has, in place of at(),
//   Loaded              what waits in registers for that
//   load(row, term)     reads it, while other tiles are multiplied
//   value(loaded)       the element
// Rows and terms may be any int >= 0: the tile loop asks beyond the ends.
//
// A result has
//   writer(column)      for columns column … column + 3, of which any may lie outside
//     write(row, sum)   four sums
//     finish(part)      after its last row, by a whole warp, whose lanes 8, 16 and 24 apart write the same
//                       columns: its rows are number `part` of parts of Engine::kPartRows rows

#include "kernels/device/kernel.h"
#include "kernels/gemm/gemm.h"

namespace mt::MT_BACKEND {

struct Source {
  const float* address;  // readable also where nothing is read
  bool valid;
};

/// A matrix in memory: (rows, terms) when kAlong, else (terms, rows), `stride` elements from line to line.
template <bool kAlong, int kWidth>
struct MatrixOperand {
  static constexpr bool kAlongTerms = kAlong;
  static constexpr int kVector = kWidth;
  const float* data;
  int stride;
  int rows;
  int terms;

  __device__ int row(int i) const { return i; }
  __device__ int term(int t) const { return t; }
  __device__ Source at(int row, int term) const {
    const bool valid = row < rows && term < terms;
    const int64_t offset = kAlong ? int64_t{row} * stride + term : int64_t{term} * stride + row;
    return {data + (valid ? offset : 0), valid};
  }
};

/// Whether lines of `along` floats, `stride` apart, are whole aligned vectors of 4.
inline bool is_vectorised(const float* data, int64_t stride, int64_t along) {
  return reinterpret_cast<std::uintptr_t>(data) % 16 == 0 && stride % 4 == 0 && along % 4 == 0;
}

/// The first `count` of four values, at once where rows are vectorised.
__device__ inline void store4(float* target, const float (&value)[4], int count, bool vectorised) {
  if (vectorised && count > 0) {
    simt::store_vector(target, float4{value[0], value[1], value[2], value[3]});
  } else {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (i < count) target[i] = value[i];
    }
  }
}

/// The first `count` of four values, at once where rows are vectorised; 0 stands for the others.
__device__ inline void load4(const float* source, float (&value)[4], int count, bool vectorised) {
  if (vectorised && count > 0) {
    const float4 v = simt::load_vector<float4>(source);
    value[0] = v.x;
    value[1] = v.y;
    value[2] = v.z;
    value[3] = v.w;
  } else {
#pragma unroll
    for (int i = 0; i < 4; ++i) value[i] = i < count ? source[i] : 0;
  }
}

/// The writer of a result that keeps nothing from row to row.
template <typename Result>
struct PlainWriter {
  const Result& result;
  int column;
  __device__ void write(int row, const float (&sum)[4]) const { result.write4(row, column, sum); }
  __device__ void finish(int) const {}
};

/// C (rows, columns): element = activation(sum + beta C + bias).
struct MatrixResult {
  float* c;
  int64_t stride;
  int rows;
  int columns;
  bool vectorised;  // is_vectorised(c, stride, columns)
  float beta = 0;
  const float* bias = nullptr;
  GemmActivation activation = GemmActivation::none;

  __device__ float finished(float sum, const float* old, int column) const {
    if (beta != 0) sum += beta * *old;
    if (bias != nullptr) sum += bias[column];
    if (activation == GemmActivation::relu) return sum < 0 ? 0 : sum;  // keeps NaN
    if (activation == GemmActivation::tanh) return tanhf(sum);
    return sum;
  }
  __device__ void write(int row, int column, float sum) const {
    float* target = c + row * stride + column;
    *target = finished(sum, target, column);
  }
  __device__ void write4(int row, int column, const float (&sum)[4]) const {
    if (row >= rows) return;
    float* target = c + row * stride + column;
    float value[4];
#pragma unroll
    for (int i = 0; i < 4; ++i)
      value[i] = column + i < columns ? finished(sum[i], target + i, column + i) : 0;
    store4(target, value, columns - column, vectorised);
  }
  __device__ PlainWriter<MatrixResult> writer(int column) const {
    return {*this, column};
  }
};

}  // namespace mt::MT_BACKEND
