#pragma once
// Matrix product with bias and activation. Math, error bound and cost: gemm.md.

#include <cstdint>

#include "kernels/common/stream.h"
#include "tensor/device.h"

namespace mt {

/// What is applied to each element after the product and the bias.
enum class GemmActivation : uint8_t { none, relu, tanh };

template <typename T>
struct GemmEpilogue {
  const T* bias = nullptr;  // (n), added to every row; nullptr adds nothing
  GemmActivation activation = GemmActivation::none;
};

/// Matrices are row-major with leading dimensions (elements from a row to the next): A is (m,k) with lda >=
/// k, or (k,m) with lda >= m when transpose_a; B is (k,n) with ldb >= n, or (n,k) with ldb >= k when
/// transpose_b; C is (m,n) with ldc >= n. m, n, k >= 0; k = 0 gives activation(beta C + bias). C must not
/// overlap A, B or the bias. A NaN or infinity travels as in the sum itself (on tensor cores an infinity may
/// become NaN); with beta = 0 the old C is never read.
template <typename T>
struct Gemm {
  /// C = activation(op(A) op(B) + beta C + bias)
  void (*multiply)(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, const T* a,
                   int64_t lda, const T* b, int64_t ldb, T beta, T* c, int64_t ldc,
                   const GemmEpilogue<T>& epilogue, Stream stream);
};

/// The table of a backend. float: cpu, cuda, simt. double: the reference, on the cpu only (gradcheck runs on
/// it).
template <typename T>
const Gemm<T>& gemm(Device device);
template <>
const Gemm<float>& gemm<float>(Device device);
template <>
const Gemm<double>& gemm<double>(Device device);

}  // namespace mt
