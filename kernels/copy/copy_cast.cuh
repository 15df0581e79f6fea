#pragma once
// What copy_cast.cu gives to copy.cu, which has the table, and to convolutions of 8-bit images. Contracts:
// copy.h.

#include <cstdint>

#include "kernels/copy/copy.h"
#include "kernels/device/kernel.h"

namespace mt::MT_BACKEND {

/// Whether `bytes` bytes may be moved in one access at all of these addresses.
template <typename... Pointers>
bool aligned_to(int64_t bytes, Pointers... pointers) {
  return ((reinterpret_cast<std::uintptr_t>(pointers) % static_cast<std::uintptr_t>(bytes) == 0) && ...);
}

void cast(const void* source, DType source_type, void* target, DType target_type, int64_t n, Stream stream);
void cast_naive(const void* source, DType source_type, void* target, DType target_type, int64_t n,
                Stream stream);
void image_to_float(const uint8_t* images, float* y, int64_t n, int64_t pixels, const ImageScaling& scaling,
                    Stream stream);
void image_to_float_naive(const uint8_t* images, float* y, int64_t n, int64_t pixels,
                          const ImageScaling& scaling, Stream stream);

/// On the device, with the cpu's bits: ImageTable (3,256).
inline constexpr int kImageTableSize = 3 * 256;
void fill_image_table(float* table, const ImageScaling& scaling, Stream stream);

}  // namespace mt::MT_BACKEND
