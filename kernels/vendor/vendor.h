#pragma once
// NVIDIA's libraries behind the tables of this project: cuBLASLt for gemm, cuDNN for conv2d. They stand in a
// module of their own, loaded when first asked for, so that no program needs them to start. See README.md.

#include <string>

#include "kernels/activation/activation.h"
#include "kernels/conv2d/conv2d.h"
#include "kernels/gemm/gemm.h"
#include "tensor/allocator.h"

namespace mt {

/// What the module gives. Where a library has nothing for a problem the tables compute it by the project's
/// own kernels and say so once. fp32: products and sums in float32, as the project's own kernels; tf32:
/// factors rounded to TF32 where the library prefers it, what benchmarks compare with.
struct VendorTables {
  const Gemm<float>* gemm;
  const Gemm<float>* gemm_tf32;
  const Conv2d<float>* conv2d;
  const Conv2d<float>* conv2d_tf32;
  /// What computed last in this thread: an engine of cuDNN, an algorithm of cuBLASLt, or "own kernel".
  std::string (*last_choice)();
};

/// What the module needs of the program that loads it.
struct VendorHost {
  Allocator* memory;        // of the cuda device
  const Gemm<float>* gemm;  // for what the libraries do not offer
  const Activation<float>* activation;
  const Conv2d<float>* conv2d;
  void (*check_conv2d)(const Conv2dShape& shape);
  void (*say)(const std::string& note);  // for the person who runs the program
};

/// The module's one exported function. The name's number changes with the structs above, so that a module of
/// another build is refused.
using VendorEntry = const VendorTables* (*)(const VendorHost& host);
inline constexpr const char* kVendorEntry = "microtome_vendor_tables_2";

/// A loaded module, or why there is none.
struct VendorModule {
  const VendorTables* tables = nullptr;
  std::string missing;  // "libcudnn.so.9: cannot open shared object file: …"; empty with tables
};
/// Loads the module of that path. Throws nothing.
VendorModule load_vendor_module(const std::string& path);
/// Where the module is looked for: MICROTOME_VENDOR_MODULE alone where it is set, else beside the program,
/// else where a build folder has it beside the program's folder. The first that exists is taken, else the
/// last.
std::string vendor_module_path();

/// Why NVIDIA's libraries do not compute here; empty where they do. Tries to load the module at the first
/// call, once for the process.
const std::string& vendor_missing();
/// Throws one clear line where vendor_missing().
const VendorTables& vendor_tables();

/// Registers the versions "vendor" and "vendor_tf32" of gemm and conv2d for the cuda device, if they are part
/// of this build; they are there where the module loads.
void register_vendor_operations();

}  // namespace mt
