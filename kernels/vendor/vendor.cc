// The program's side of the module: finds it, loads it, and forwards to it.

#include "kernels/vendor/vendor.h"

#include <dlfcn.h>

#include <filesystem>
#include <string>

#include "kernels/common/tables.h"
#include "tensor/check.h"

namespace mt {
namespace {

#if MT_WITH_VENDOR

/// Beside the program, else where the build put it.
std::string module_path() {
  std::error_code error;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", error);
  const auto beside = program.parent_path() / std::filesystem::path(MT_VENDOR_MODULE).filename();
  return !error && std::filesystem::exists(beside, error) ? beside.string() : MT_VENDOR_MODULE;
}

VendorTables load() {
  const std::string path = module_path();
  void* module = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  check(module != nullptr, "--kernels vendor: {}; use --kernels own", dlerror());
  void* entry = dlsym(module, kVendorEntry);
  check(entry != nullptr, "--kernels vendor: {}: {} is missing; build it anew", path, kVendorEntry);
  // The tables that the front doors give are the project's own where no vendor version was asked for.
  static const VendorHost host{&allocator(Device::cuda), &device_table<Gemm<float>>(Device::cuda, "gemm"),
                               &device_table<Activation<float>>(Device::cuda, "activation"),
                               &device_table<Conv2d<float>>(Device::cuda, "conv2d"), check_conv2d_shape};
  return *reinterpret_cast<VendorEntry>(entry)(host);
}

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

}  // namespace

const VendorTables& vendor_tables() {
#if MT_WITH_VENDOR
  static const VendorTables tables = load();
  return tables;
#else
  fail("--kernels vendor: this build has no cuDNN and cuBLASLt; use --kernels own");
#endif
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
  set_kernel_choice(word == "own"      ? KernelChoice::own
                    : word == "vendor" ? KernelChoice::vendor
                                       : KernelChoice::automatic);
}

void register_vendor_operations() {
#if MT_WITH_VENDOR
  register_table(Device::cuda, kGemm<&VendorTables::gemm>, kVendorVersion);
  register_table(Device::cuda, kGemm<&VendorTables::gemm_tf32>, "vendor_tf32");
  register_table(Device::cuda, kConv2d<&VendorTables::conv2d>, kVendorVersion);
  register_table(Device::cuda, kConv2d<&VendorTables::conv2d_tf32>, "vendor_tf32");
#endif
}

}  // namespace mt
