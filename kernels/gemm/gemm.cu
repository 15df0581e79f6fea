// Matrix product on cuda and simt: the naive version, and the choice among the fast ones. How those compute:
// tile.cuh. Math and error bounds: gemm.md.

#include "kernels/common/tables.h"
#include "kernels/gemm/gemm_versions.cuh"
#include "kernels/gemm/operands.cuh"

namespace mt::MT_BACKEND {
namespace {

// ---- 1. Naive: one thread per element
// A warp's threads share a row of A and read neighbouring columns of B; nothing is used twice but by the
// caches.

constexpr int kNaiveThreads = 64;

__global__ void multiply_naive(bool transpose_a, bool transpose_b, int64_t k, const float* a, int64_t lda,
                               const float* b, int64_t ldb, MatrixResult c) {
  const int64_t element = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (element < static_cast<int64_t>(c.rows) * c.columns) {
    const int64_t i = element / c.columns;
    const int64_t j = element % c.columns;
    float sum = 0;
    for (int64_t t = 0; t < k; ++t)
      sum +=
          (transpose_a ? a[t * lda + i] : a[i * lda + t]) * (transpose_b ? b[j * ldb + t] : b[t * ldb + j]);
    c.write(static_cast<int>(i), static_cast<int>(j), sum);
  }
}

void naive(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, const float* a, int64_t lda,
           const float* b, int64_t ldb, float beta, float* c, int64_t ldc,
           const GemmEpilogue<float>& epilogue, Stream stream) {
  if (m == 0 || n == 0) return;
  const MatrixResult result{c,     ldc,  static_cast<int>(m), static_cast<int>(n),
                            false, beta, epilogue.bias,       epilogue.activation};
  launch<multiply_naive>(blocks_for(m * n, kNaiveThreads), kNaiveThreads, 0, stream, transpose_a, transpose_b,
                         k, a, lda, b, ldb, result);
}

// ---- 2. The front door: product_choice.h

void multiply(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, const float* a,
              int64_t lda, const float* b, int64_t ldb, float beta, float* c, int64_t ldc,
              const GemmEpilogue<float>& epilogue, Stream stream) {
  constexpr GemmFunction* kVersions[] = {multiply_fp32, multiply_tf32, multiply_tf32x3, multiply_bf16};
  kVersions[static_cast<int>(version_for(k))](transpose_a, transpose_b, m, n, k, a, lda, b, ldb, beta, c, ldc,
                                              epilogue, stream);
}

constexpr Gemm<float> kFrontDoor{multiply};
constexpr Gemm<float> kNaive{naive};
constexpr Gemm<float> kFp32{multiply_fp32};
constexpr Gemm<float> kTf32{multiply_tf32};
constexpr Gemm<float> kTf32x3{multiply_tf32x3};
constexpr Gemm<float> kBf16{multiply_bf16};

}  // namespace

void register_gemm() {
  register_table(kDevice, kFrontDoor);
  register_table(kDevice, kNaive, "naive");
  register_table(kDevice, kFp32, "fp32");
  register_table(kDevice, kTf32, "tf32");
  register_table(kDevice, kTf32x3, "tf32x3");
  register_table(kDevice, kBf16, "bf16");
}

}  // namespace mt::MT_BACKEND
