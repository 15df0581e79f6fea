#pragma once
// NVIDIA's libraries behind the tables of this project: cuBLASLt for gemm, cuDNN for conv2d. They stand in a
// module of their own, loaded when first used, so that no program needs them to start. See README.md.

#include <string>

#include "kernels/activation/activation.h"
#include "kernels/conv2d/conv2d.h"
#include "kernels/gemm/gemm.h"
#include "tensor/allocator.h"

namespace mt {

/// What the module gives. fp32: products and sums in float32, as the project's own kernels; tf32: factors
/// rounded to TF32 where the library prefers it, what benchmarks compare with.
struct VendorTables {
  const Gemm<float>* gemm;
  const Gemm<float>* gemm_tf32;
  const Conv2d<float>* conv2d;
  const Conv2d<float>* conv2d_tf32;
};

/// What the module needs of the program that loads it.
struct VendorHost {
  Allocator* memory;        // of the cuda device
  const Gemm<float>* gemm;  // for what the libraries do not offer
  const Activation<float>* activation;
  const Conv2d<float>* conv2d;
  void (*check_conv2d)(const Conv2dShape& shape);
};

/// The module's one exported function.
using VendorEntry = const VendorTables* (*)(const VendorHost& host);
inline constexpr const char* kVendorEntry = "microtome_vendor_tables";

/// Loads the module at the first call. Throws one clear line when this build has none or it does not load.
const VendorTables& vendor_tables();

/// Registers the versions "vendor" and "vendor_tf32" of gemm and conv2d for the cuda device, if they are part
/// of this build.
void register_vendor_operations();

}  // namespace mt
