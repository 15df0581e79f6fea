// gemm by cuBLASLt. It thinks in columns: row-major C = A B is column-major C' = B' A', the same bytes.

#include <cublasLt.h>

#include <array>
#include <bit>
#include <map>
#include <memory>
#include <mutex>

#include "kernels/vendor/module.h"
#include "tensor/check.h"

namespace mt::vendor {
namespace {

constexpr std::size_t kWorkspaceBytes = std::size_t{32} << 20;

void check_cublas(cublasStatus_t status, const char* what) {
  check(status == CUBLAS_STATUS_SUCCESS, "cuBLASLt: {}: {}", what, cublasLtGetStatusString(status));
}

template <typename T, auto kDestroy>
struct Destroy {
  void operator()(T* object) const { kDestroy(object); }
};
using Operation = std::unique_ptr<cublasLtMatmulDescOpaque_t,
                                  Destroy<cublasLtMatmulDescOpaque_t, cublasLtMatmulDescDestroy>>;
using Layout = std::unique_ptr<cublasLtMatrixLayoutOpaque_t,
                               Destroy<cublasLtMatrixLayoutOpaque_t, cublasLtMatrixLayoutDestroy>>;
using Preference =
    std::unique_ptr<cublasLtMatmulPreferenceOpaque_t,
                    Destroy<cublasLtMatmulPreferenceOpaque_t, cublasLtMatmulPreferenceDestroy>>;

/// A column-major matrix of float.
Layout layout(int64_t rows, int64_t columns, int64_t leading) {
  cublasLtMatrixLayout_t made = nullptr;
  check_cublas(cublasLtMatrixLayoutCreate(&made, CUDA_R_32F, static_cast<uint64_t>(rows),
                                          static_cast<uint64_t>(columns), leading),
               "matrix layout");
  return Layout(made);
}

template <typename T>
void set(const Operation& operation, cublasLtMatmulDescAttributes_t attribute, const T& value) {
  check_cublas(cublasLtMatmulDescSetAttribute(operation.get(), attribute, &value, sizeof(T)),
               "attribute of a product");
}

template <typename T>
void set(const Preference& preference, cublasLtMatmulPreferenceAttributes_t attribute, const T& value) {
  check_cublas(cublasLtMatmulPreferenceSetAttribute(preference.get(), attribute, &value, sizeof(T)),
               "preference");
}

Operation operation(Precision precision, bool transpose_a, bool transpose_b, const float* bias) {
  cublasLtMatmulDesc_t made = nullptr;
  const auto compute = precision == Precision::tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
  check_cublas(cublasLtMatmulDescCreate(&made, compute, CUDA_R_32F), "description of a product");
  Operation operation(made);
  set(operation, CUBLASLT_MATMUL_DESC_TRANSA, transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N);
  set(operation, CUBLASLT_MATMUL_DESC_TRANSB, transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N);
  if (bias != nullptr) {
    set(operation, CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
    set(operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
  }
  return operation;
}

/// Largest power of two up to 256 that divides the address.
uint32_t alignment_of(const void* pointer) {
  const auto address = std::bit_cast<uintptr_t>(pointer) | 256U;
  return static_cast<uint32_t>(address & (~address + 1));
}

/// Keeps the library's handle and the algorithm that it chose for each problem.
class Library {
 public:
  Library() { check_cublas(cublasLtCreate(&handle_), "start"); }

  struct Problem {
    const Operation& operation;
    const Layout& b;
    const Layout& a;
    const Layout& c;
    std::array<uint32_t, 3> alignments;  // of b, a, c
    std::array<int64_t, 13> key;
  };

  void run(const Problem& p, const float* a, const float* b, float beta, float* c, Stream stream) {
    const std::scoped_lock lock(mutex_);
    const float alpha = 1;
    const auto& algorithm = algorithm_for(p);
    check_cublas(cublasLtMatmul(handle_, p.operation.get(), &alpha, b, p.b.get(), a, p.a.get(), &beta, c,
                                p.c.get(), c, p.c.get(), &algorithm, workspace_.reserve(kWorkspaceBytes),
                                kWorkspaceBytes, reinterpret_cast<cudaStream_t>(stream)),
                 "product");
  }

 private:
  const cublasLtMatmulAlgo_t& algorithm_for(const Problem& p) {
    if (const auto known = algorithms_.find(p.key); known != algorithms_.end()) return known->second;
    cublasLtMatmulPreference_t made = nullptr;
    check_cublas(cublasLtMatmulPreferenceCreate(&made), "preference");
    const Preference preference(made);
    set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint64_t{kWorkspaceBytes});
    set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, p.alignments[0]);
    set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, p.alignments[1]);
    set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, p.alignments[2]);
    set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, p.alignments[2]);
    cublasLtMatmulHeuristicResult_t result{};
    int found = 0;
    check_cublas(cublasLtMatmulAlgoGetHeuristic(handle_, p.operation.get(), p.b.get(), p.a.get(), p.c.get(),
                                                p.c.get(), preference.get(), 1, &result, &found),
                 "choice of an algorithm");
    check(found == 1, "cuBLASLt: no algorithm for this product; use --kernels own");
    return algorithms_.emplace(p.key, result.algo).first->second;
  }

  cublasLtHandle_t handle_ = nullptr;
  Workspace workspace_;
  std::mutex mutex_;
  std::map<std::array<int64_t, 13>, cublasLtMatmulAlgo_t> algorithms_;
};

Library& library() {
  static auto* instance = new Library;  // lives as long as the process: the driver may be gone before statics
  return *instance;
}

template <Precision kPrecision>
void multiply(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, const float* a,
              int64_t lda, const float* b, int64_t ldb, float beta, float* c, int64_t ldc,
              const GemmEpilogue<float>& epilogue, Stream stream) {
  if (m == 0 || n == 0) return;
  const bool activated = epilogue.activation != GemmActivation::none;
  // The library has no empty sums, and its ReLU does not promise to keep NaN: activations are ours.
  if (k == 0 || (activated && ldc != n)) {
    host->gemm->multiply(transpose_a, transpose_b, m, n, k, a, lda, b, ldb, beta, c, ldc, epilogue, stream);
    return;
  }
  const Operation product = operation(kPrecision, transpose_a, transpose_b, epilogue.bias);
  const Layout b_layout = transpose_b ? layout(k, n, ldb) : layout(n, k, ldb);
  const Layout a_layout = transpose_a ? layout(m, k, lda) : layout(k, m, lda);
  const Layout c_layout = layout(n, m, ldc);
  const std::array<uint32_t, 3> alignments{alignment_of(b), alignment_of(a), alignment_of(c)};
  library().run({product,
                 b_layout,
                 a_layout,
                 c_layout,
                 alignments,
                 {static_cast<int64_t>(kPrecision), transpose_a, transpose_b, m, n, k, lda, ldb, ldc,
                  epilogue.bias != nullptr, alignments[0], alignments[1], alignments[2]}},
                a, b, beta, c, stream);
  if (activated) {
    const auto kind =
        epilogue.activation == GemmActivation::relu ? ActivationKind::relu : ActivationKind::tanh;
    host->activation->forward(kind, c, c, m * n, stream);
  }
}

}  // namespace

const Gemm<float> kGemmFp32{multiply<Precision::fp32>};
const Gemm<float> kGemmTf32{multiply<Precision::tf32>};

}  // namespace mt::vendor
