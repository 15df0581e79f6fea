// gemm by cuBLASLt. It thinks in columns: row-major C = A B is column-major C' = B' A', the same bytes.

#include <cublasLt.h>

#include <array>
#include <bit>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "kernels/vendor/vendor_module.h"
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

  /// False, with c as it was, where cuBLASLt has nothing for the product.
  bool run(const Problem& p, const float* a, const float* b, float beta, float* c, Stream stream) {
    const std::scoped_lock lock(mutex_);
    Choice& choice = choice_for(p);
    if (choice.algorithm) {
      const float alpha = 1;
      void* workspace = workspace_.reserve(kWorkspaceBytes);
      const cublasStatus_t status = cublasLtMatmul(
          handle_, p.operation.get(), &alpha, b, p.b.get(), a, p.a.get(), &beta, c, p.c.get(), c, p.c.get(),
          &*choice.algorithm, workspace, kWorkspaceBytes, reinterpret_cast<cudaStream_t>(stream));
      if (status != CUBLAS_STATUS_SUCCESS) refuse(choice, p, status);
    }
    last_choice = choice.algorithm ? choice.name : kOwnKernel;
    return choice.algorithm.has_value();
  }

 private:
  struct Choice {
    std::optional<cublasLtMatmulAlgo_t> algorithm;  // empty: there is none
    std::string name;
  };

  Choice& choice_for(const Problem& p) {
    if (const auto known = choices_.find(p.key); known != choices_.end()) return known->second;
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
    const cublasStatus_t status =
        cublasLtMatmulAlgoGetHeuristic(handle_, p.operation.get(), p.b.get(), p.a.get(), p.c.get(), p.c.get(),
                                       preference.get(), 1, &result, &found);
    Choice choice;
    if (status == CUBLAS_STATUS_SUCCESS && found == 1) {
      choice = {result.algo, name_of(result.algo)};
    } else {
      refuse(choice, p, status == CUBLAS_STATUS_SUCCESS ? CUBLAS_STATUS_NOT_SUPPORTED : status);
    }
    return choices_.emplace(p.key, std::move(choice)).first->second;
  }

  void refuse(Choice& choice, const Problem& p, cublasStatus_t status) {
    refusals_.say(fmt::format("cuBLASLt: product of {} x {} x {}: {}", p.key[3], p.key[4], p.key[5],
                              cublasLtGetStatusString(status)));
    choice.algorithm.reset();
  }

  /// "algorithm 21 tile 20 stages 8 splits 1"; what the library does not say is left out.
  static std::string name_of(const cublasLtMatmulAlgo_t& algorithm) {
    std::string name;
    const auto add = [&](const char* word, cublasLtMatmulAlgoConfigAttributes_t attribute) {
      int32_t value = 0;
      std::size_t written = 0;
      if (cublasLtMatmulAlgoConfigGetAttribute(&algorithm, attribute, &value, sizeof(value), &written) ==
          CUBLAS_STATUS_SUCCESS)
        name += fmt::format("{}{} {}", name.empty() ? "" : " ", word, value);
    };
    add("algorithm", CUBLASLT_ALGO_CONFIG_ID);
    add("tile", CUBLASLT_ALGO_CONFIG_TILE_ID);
    add("stages", CUBLASLT_ALGO_CONFIG_STAGES_ID);
    add("splits", CUBLASLT_ALGO_CONFIG_SPLITK_NUM);
    return name;
  }

  cublasLtHandle_t handle_ = nullptr;
  Workspace workspace_;
  Refusals refusals_;
  std::mutex mutex_;
  std::map<std::array<int64_t, 13>, Choice> choices_;
};

/// null where cuBLASLt does not start, which is said.
Library* library() {
  static auto* instance =
      []() -> Library* {  // lives as long as the process: the driver may be gone before statics
    try {
      return new Library;
    } catch (const Error& error) {
      Refusals().say(error.what());
      return nullptr;
    }
  }();
  return instance;
}

template <Precision kPrecision>
void multiply(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, const float* a,
              int64_t lda, const float* b, int64_t ldb, float beta, float* c, int64_t ldc,
              const GemmEpilogue<float>& epilogue, Stream stream) {
  if (m == 0 || n == 0) return;
  const bool activated = epilogue.activation != GemmActivation::none;
  const auto own = [&] {
    last_choice = kOwnKernel;
    host->gemm->multiply(transpose_a, transpose_b, m, n, k, a, lda, b, ldb, beta, c, ldc, epilogue, stream);
  };
  // The library has no empty sums, and its ReLU does not promise to keep NaN: activations are ours.
  Library* cublas = k == 0 || (activated && ldc != n) ? nullptr : library();
  if (cublas == nullptr) return own();
  const Operation product = operation(kPrecision, transpose_a, transpose_b, epilogue.bias);
  const Layout b_layout = transpose_b ? layout(k, n, ldb) : layout(n, k, ldb);
  const Layout a_layout = transpose_a ? layout(m, k, lda) : layout(k, m, lda);
  const Layout c_layout = layout(n, m, ldc);
  const std::array<uint32_t, 3> alignments{alignment_of(b), alignment_of(a), alignment_of(c)};
  const Library::Problem problem{
      product,
      b_layout,
      a_layout,
      c_layout,
      alignments,
      {static_cast<int64_t>(kPrecision), transpose_a, transpose_b, m, n, k, lda, ldb, ldc,
       epilogue.bias != nullptr, alignments[0], alignments[1], alignments[2]}};
  if (!cublas->run(problem, a, b, beta, c, stream)) return own();
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
