// Matrix products on tensor cores, inputs rounded to tf32 (11 bits): the version "tf32".

#include "kernels/gemm/gemm_versions.cuh"
#include "kernels/gemm/multiply.cuh"
#include "kernels/gemm/tensor_engine.cuh"

namespace mt::MT_BACKEND {

void multiply_tf32(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, const float* a,
                   int64_t lda, const float* b, int64_t ldb, float beta, float* c, int64_t ldc,
                   const GemmEpilogue<float>& epilogue, Stream stream) {
  require_tensor_cores("gemm", "tf32");
  multiply_with<Tf32Engines>(transpose_a, transpose_b, m, n, k, a, lda, b, ldb, beta, c, ldc, epilogue,
                             stream);
}

}  // namespace mt::MT_BACKEND
