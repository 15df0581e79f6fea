// The program's side of the module: finds it, loads it, and forwards to it.

#include "kernels/vendor/vendor.h"

#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "kernels/common/tables.h"
#include "tensor/check.h"

namespace mt {
namespace {

constexpr const char* kVendorModuleName = "microtome_vendor.so";

void say(const std::string& note) {
  fmt::print(stderr, "note: {}\n", note);
}

#if MT_WITH_VENDOR

template <auto kTable>
void multiply(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, const float* a,
              int64_t lda, const float* b, int64_t ldb, float beta, float* c, int64_t ldc,
              const GemmEpilogue<float>& epilogue, Stream stream) {
  (vendor_tables().*kTable)
      ->multiply(transpose_a, transpose_b, m, n, k, a, lda, b, ldb, beta, c, ldc, epilogue, stream);
}

/// One function of a Conv2d table.
template <auto kTable, auto kFunction>
void convolve(const float* first, const float* second, float* out, const Conv2dShape& shape, Stream stream) {
  ((vendor_tables().*kTable)->*kFunction)(first, second, out, shape, stream);
}

template <auto kTable>
void convolve_fused(const float* x, const float* weight, float* y, const Conv2dShape& shape,
                    const Conv2dEpilogue<float>& epilogue, Stream stream) {
  (vendor_tables().*kTable)->forward_fused(x, weight, y, shape, epilogue, stream);
}
template <auto kTable>
void convolve_pixels(const uint8_t* pixels, const ImageScaling& scaling, const float* weight, float* y,
                     const Conv2dShape& shape, const Conv2dEpilogue<float>& epilogue, Stream stream) {
  (vendor_tables().*kTable)->forward_pixels(pixels, scaling, weight, y, shape, epilogue, stream);
}

template <auto kTable>
constexpr Gemm<float> kGemm{multiply<kTable>};
template <auto kTable>
constexpr Conv2d<float> kConv2d{
    convolve<kTable, &Conv2d<float>::forward>, convolve<kTable, &Conv2d<float>::backward_data>,
    convolve<kTable, &Conv2d<float>::backward_weights>, convolve_fused<kTable>, convolve_pixels<kTable>};

#endif

const VendorModule& loaded_module() {
  static const VendorModule module = MT_WITH_VENDOR
                                         ? load_vendor_module(vendor_module_path())
                                         : VendorModule{nullptr, "this build has no cuDNN and cuBLASLt"};
  return module;
}

[[maybe_unused]] bool is_there() {
  return loaded_module().tables != nullptr;
}

}  // namespace

std::string vendor_module_path() {
  const char* named = std::getenv("MICROTOME_VENDOR_MODULE");
  if (named != nullptr) return named;
  std::error_code error;
  const auto folder = std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
  std::filesystem::path candidate;
  for (const char* place : {".", "../lib/microtome", "../kernels/vendor", "../../kernels/vendor"}) {
    candidate = (folder / place / kVendorModuleName).lexically_normal();
    if (std::filesystem::exists(candidate, error)) break;
  }
  return candidate.string();
}

VendorModule load_vendor_module(const std::string& path) {
  void* module = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (module == nullptr) return {nullptr, dlerror()};
  void* entry = dlsym(module, kVendorEntry);
  if (entry == nullptr) {
    dlclose(module);
    return {nullptr, fmt::format("{}: {} is missing: it is of another build", path, kVendorEntry)};
  }
  try {
    // The tables that the front doors give are the project's own where no vendor version was asked for.
    static const VendorHost host{&allocator(Device::cuda),
                                 &device_table<Gemm<float>>(Device::cuda, "gemm"),
                                 &device_table<Activation<float>>(Device::cuda, "activation"),
                                 &device_table<Conv2d<float>>(Device::cuda, "conv2d"),
                                 check_conv2d_shape,
                                 say};
    return {reinterpret_cast<VendorEntry>(entry)(host), ""};
  } catch (const std::exception& error) {
    return {nullptr, fmt::format("{}: {}", path, error.what())};
  }
}

const std::string& vendor_missing() {
  return loaded_module().missing;
}

const VendorTables& vendor_tables() {
  const VendorModule& module = loaded_module();
  check(module.tables != nullptr, "--kernels vendor: {}; use --kernels own", module.missing);
  return *module.tables;
}

void choose_kernels(std::string_view word, Device device) {
  if (word != "own" && word != "vendor" && word != "auto") {
    throw UsageError(fmt::format("--kernels {}: there is own, vendor and auto", word));
  }
  if (word == "vendor" && device != Device::cuda) {
    throw UsageError(fmt::format(
        "--kernels vendor: cuDNN and cuBLASLt compute on --device cuda only, not on {}", name_of(device)));
  }
  if (word == "vendor") vendor_tables();
  if (word == "auto" && device == Device::cuda && !vendor_missing().empty()) {
    say(fmt::format(
        "--kernels auto: the project's own kernels compute everything, as NVIDIA's libraries do not "
        "load: {}",
        vendor_missing()));
  }
  set_kernel_choice(word == "own"      ? KernelChoice::own
                    : word == "vendor" ? KernelChoice::vendor
                                       : KernelChoice::automatic);
}

void register_vendor_operations() {
#if MT_WITH_VENDOR
  register_table(Device::cuda, kGemm<&VendorTables::gemm>, kVendorVersion, is_there);
  register_table(Device::cuda, kGemm<&VendorTables::gemm_tf32>, "vendor_tf32", is_there);
  register_table(Device::cuda, kConv2d<&VendorTables::conv2d>, kVendorVersion, is_there);
  register_table(Device::cuda, kConv2d<&VendorTables::conv2d_tf32>, "vendor_tf32", is_there);
#endif
}

}  // namespace mt
