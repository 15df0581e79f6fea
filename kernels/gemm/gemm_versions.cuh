#pragma once
// The versions of the matrix product, each in a .cu of its own: they compile side by side.

#include <string>
#include <type_traits>

#include "kernels/device/device.h"
#include "kernels/device/kernel.h"
#include "kernels/gemm/gemm.h"
#include "kernels/gemm/product_choice.h"

namespace mt::MT_BACKEND {

using GemmFunction = std::remove_pointer_t<decltype(Gemm<float>::multiply)>;

GemmFunction multiply_fp32;    // gemm_fp32.cu
GemmFunction multiply_tf32;    // gemm_tf32.cu
GemmFunction multiply_tf32x3;  // gemm_tf32x3.cu
GemmFunction multiply_bf16;    // gemm_bf16.cu

/// Tensor cores for these precisions are there from sm_80 on; the SIMT machine computes as they do.
inline bool has_tensor_cores() {
  return kDevice == Device::simt || device_runtime(kDevice).architecture() >= 80;
}

/// What a front door takes for sums of `terms` products. (The SIMT machine has tensor cores too, but computes
/// faster without.)
inline ProductVersion version_for(int64_t terms) {
  return kDevice == Device::cuda ? chosen_version(device_runtime(kDevice).architecture(), terms)
                                 : ProductVersion::fp32;
}

inline void require_tensor_cores(const char* operation, const char* version) {
  if (!has_tensor_cores())
    fail_kernel(std::string(operation) + ": " + version + " needs a GPU of compute capability 8.0 or later");
}

}  // namespace mt::MT_BACKEND
