#pragma once
// The host's side of a matrix product for one engine: which operands, which epilogue.

#include "kernels/gemm/split.cuh"

namespace mt::MT_BACKEND {

/// Engines::For<kVector>: the engine for operands that are read kVector at a time.
template <typename Engines, int kVector, bool kTransposeA, bool kTransposeB>
void multiply_as(const float* a, int64_t lda, const float* b, int64_t ldb, const MatrixResult& result,
                 int terms, Stream stream) {
  const MatrixOperand<!kTransposeA, kVector> rows{a, checked_size(lda, "gemm"), result.rows, terms};
  const MatrixOperand<kTransposeB, kVector> columns{b, checked_size(ldb, "gemm"), result.columns, terms};
  // Sums over the rows of A are gradients of weights, long and few. Others stay whole: a row of C has the
  // same bits however many rows there are.
  launch_product<typename Engines::template For<kVector>>(rows, columns, result, terms, kTransposeA, stream);
}

template <typename Engines, int kVector>
void multiply_in_vectors(bool transpose_a, bool transpose_b, const float* a, int64_t lda, const float* b,
                         int64_t ldb, const MatrixResult& result, int terms, Stream stream) {
  if (transpose_a && transpose_b) {
    multiply_as<Engines, kVector, true, true>(a, lda, b, ldb, result, terms, stream);
  } else if (transpose_a) {
    multiply_as<Engines, kVector, true, false>(a, lda, b, ldb, result, terms, stream);
  } else if (transpose_b) {
    multiply_as<Engines, kVector, false, true>(a, lda, b, ldb, result, terms, stream);
  } else {
    multiply_as<Engines, kVector, false, false>(a, lda, b, ldb, result, terms, stream);
  }
}

/// Gemm<float>::multiply.
template <typename Engines>
void multiply_with(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, const float* a,
                   int64_t lda, const float* b, int64_t ldb, float beta, float* c, int64_t ldc,
                   const GemmEpilogue<float>& epilogue, Stream stream) {
  if (m == 0 || n == 0) return;
  const MatrixResult result{
      c,    ldc,           checked_size(m, "gemm"), checked_size(n, "gemm"), is_vectorised(c, ldc, n),
      beta, epilogue.bias, epilogue.activation};
  const int terms = checked_size(k, "gemm");
  if (is_vectorised(a, lda, transpose_a ? m : k) && is_vectorised(b, ldb, transpose_b ? k : n)) {
    multiply_in_vectors<Engines, 4>(transpose_a, transpose_b, a, lda, b, ldb, result, terms, stream);
  } else {
    multiply_in_vectors<Engines, 1>(transpose_a, transpose_b, a, lda, b, ldb, result, terms, stream);
  }
}

}  // namespace mt::MT_BACKEND
