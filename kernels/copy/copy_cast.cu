// Casts between element types, and images to numbers, on cuda and simt. Contract: copy.h, copy.md. Naive: one
// element per thread. Fast: four.

#include <charconv>
#include <cstring>
#include <string>
#include <type_traits>

#include "kernels/common/device_array.cuh"
#include "kernels/common/vectors.cuh"
#include "kernels/copy/copy_cast.cuh"
#include "kernels/device/kernel.h"

namespace mt::MT_BACKEND {
namespace {

constexpr int kThreads = 128;

// ---- Element types as C++ types

struct Bf16 {
  uint16_t bits;
};
struct F16 {
  uint16_t bits;
};
struct Bool {
  uint8_t byte;
};

template <typename To, typename From>
__device__ To same_bits(From value) {
  static_assert(sizeof(To) == sizeof(From));
  To result;
  memcpy(&result, &value, sizeof(To));
  return result;
}

__device__ float widened(Bf16 value) {
  return same_bits<float>(static_cast<uint32_t>(value.bits) << 16);
}

__device__ float widened(F16 value) {
  const uint32_t sign = static_cast<uint32_t>(value.bits & 0x8000U) << 16;
  const uint32_t exponent = (value.bits >> 10) & 0x1FU;
  const uint32_t mantissa = value.bits & 0x3FFU;
  if (exponent == 0x1F) return same_bits<float>(sign | 0x7F800000U | (mantissa << 13));
  if (exponent != 0) return same_bits<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
  const float magnitude = static_cast<float>(mantissa) * 0x1p-24F;  // zero and subnormals
  return sign != 0 ? -magnitude : magnitude;
}

/// To the nearest, ties to even; NaN stays NaN.
__device__ Bf16 rounded_to_bf16(float value) {
  const auto bits = same_bits<uint32_t>(value);
  if ((bits & 0x7FFFFFFFU) > 0x7F800000U) return {static_cast<uint16_t>((bits >> 16) | 0x40U)};
  return {static_cast<uint16_t>((bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16)};
}

template <typename Target, typename Source>
constexpr bool kMayFail = std::is_same_v<Target, int64_t> &&
                          (std::is_floating_point_v<Source> || std::is_same_v<Source, Bf16> ||
                           std::is_same_v<Source, F16>);

/// `fits` becomes false where the value has no place in an i64.
template <typename Target, typename Source>
__device__ Target converted(Source value, bool& fits) {
  if constexpr (std::is_same_v<Source, Bf16> || std::is_same_v<Source, F16>) {
    return converted<Target>(widened(value), fits);
  } else if constexpr (std::is_same_v<Source, Bool>) {
    return converted<Target>(static_cast<uint8_t>(value.byte != 0), fits);
  } else if constexpr (std::is_same_v<Target, Bf16>) {
    return rounded_to_bf16(static_cast<float>(value));
  } else if constexpr (kMayFail<Target, Source>) {
    fits = value >= Source{-0x1p63F} && value < Source{0x1p63F};
    return fits ? static_cast<Target>(value) : 0;
  } else {
    return static_cast<Target>(value);
  }
}

// ---- Cast: kWidth neighbours per thread

using Place = int64_t;  // of an element
constexpr Place kNowhere = INT64_MAX;

/// first_bad: the smallest place of an element without a value in the target's type; not touched by types
/// that cannot fail.
template <typename Target, typename Source, int kWidth>
__global__ void cast_elements(const Source* source, Target* target, int64_t n, Place* first_bad) {
  const int64_t begin = kWidth * (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x);
  bool all_fit = true;
  if (begin + kWidth <= n) {
    const auto in = simt::load_vector<Group<Source, kWidth>>(source + begin);
    Group<Target, kWidth> out;
#pragma unroll
    for (int k = 0; k < kWidth; ++k) {
      bool fits = true;
      out.value[k] = converted<Target>(in.value[k], fits);
      all_fit = all_fit && fits;
    }
    simt::store_vector(target + begin, out);
  } else {
#pragma unroll 1  // fewer than kWidth
    for (int64_t i = begin; i < n; ++i) {
      bool fits = true;
      target[i] = converted<Target>(source[i], fits);
      all_fit = all_fit && fits;
    }
  }
  if constexpr (kMayFail<Target, Source>) {
    if (!all_fit) {  // rare: look again for the first one
      for (int64_t i = begin + kWidth < n ? begin + kWidth - 1 : n - 1; i >= begin; --i) {
        bool fits = true;
        converted<Target>(source[i], fits);
        if (!fits) simt::atomic_min(first_bad, static_cast<Place>(i));
      }
    }
  }
}

/// The shortest text that reads back as this value.
template <typename T>
std::string text_of(T value) {
  char text[64];
  return {text, std::to_chars(text, text + sizeof(text), value).ptr};
}

/// The error of the cpu's cast, if there is one.
template <typename Source>
void require_all_fit(const Source* source, const Place* first_bad, Stream stream) {
  const Place place = value_on_host(first_bad, stream);
  if (place == kNowhere) return;
  const Source bad = value_on_host(source + place, stream);
  std::string text;
  if constexpr (std::is_same_v<Source, Bf16>) {
    text = text_of(bf16_to_float(bad.bits));
  } else if constexpr (std::is_same_v<Source, F16>) {
    text = text_of(f16_to_float(bad.bits));
  } else {
    text = text_of(bad);
  }
  fail_kernel("cast: element " + std::to_string(place) + " (" + text + ") is no i64");
}

template <typename Target, typename Source, int kMostWidth>
void cast_between(const void* source, void* target, int64_t n, Stream stream) {
  const auto* from = static_cast<const Source*>(source);
  auto* to = static_cast<Target*>(target);
  const auto run = [&]<int kWidth>(std::integral_constant<int, kWidth>, Place* first_bad) {
    launch<cast_elements<Target, Source, kWidth>>(blocks_for(n, kWidth * kThreads), kThreads, 0, stream, from,
                                                  to, n, first_bad);
  };
  const auto run_widest = [&](Place* first_bad) {
    const bool vectors =
        aligned_to(kMostWidth * sizeof(Source), source) && aligned_to(kMostWidth * sizeof(Target), target);
    if (vectors) {
      run(std::integral_constant<int, kMostWidth>{}, first_bad);
    } else {
      run(std::integral_constant<int, 1>{}, first_bad);
    }
  };
  if constexpr (kMayFail<Target, Source>) {
    const DeviceArray<Place> first_bad(&kNowhere, 1, stream);
    run_widest(first_bad.data());
    require_all_fit(from, first_bad.data(), stream);
  } else {
    run_widest(nullptr);
  }
}

/// Calls run(T{}) with the source's C++ type.
template <typename Run>
void with_source_type(DType type, const Run& run) {
  switch (type) {
    case DType::f32:
      return run(float{});
    case DType::f64:
      return run(double{});
    case DType::bf16:
      return run(Bf16{});
    case DType::f16:
      return run(F16{});
    case DType::u8:
      return run(uint8_t{});
    case DType::i8:
      return run(int8_t{});
    case DType::i16:
      return run(int16_t{});
    case DType::i32:
      return run(int32_t{});
    case DType::i64:
      return run(int64_t{});
    case DType::boolean:
      return run(Bool{});
  }
}

template <int kMostWidth>
void cast_any(const void* source, DType source_type, void* target, DType target_type, int64_t n,
              Stream stream) {
  if (n == 0) return;
  if (source_type == target_type) {
    copy_bytes(target, kDevice, source, kDevice, static_cast<std::size_t>(n) * size_of(source_type), stream);
    return;
  }
  with_source_type(source_type, [&]<typename Source>(Source) {
    switch (target_type) {
      case DType::f32:
        return cast_between<float, Source, kMostWidth>(source, target, n, stream);
      case DType::f64:
        return cast_between<double, Source, kMostWidth>(source, target, n, stream);
      case DType::bf16:
        return cast_between<Bf16, Source, kMostWidth>(source, target, n, stream);
      case DType::i64:
        return cast_between<int64_t, Source, kMostWidth>(source, target, n, stream);
      default:
        fail_kernel(std::string("cast: ") + name_of(source_type) + " to " + name_of(target_type) +
                    " is not there; targets are f32, f64, bf16 and i64");
    }
  });
}

// ---- Images: a table of 256 numbers per channel, computed in double and rounded once

struct Scaling {  // ImageScaling in a form that kernels take by value
  float mean[3];
  float std[3];
  int first;  // the byte of a pixel that becomes channel 0: 2 where red and blue change places
};

Scaling scaling_of(const ImageScaling& s) {
  return {{s.mean[0], s.mean[1], s.mean[2]}, {s.std[0], s.std[1], s.std[2]}, s.swap_red_blue ? 2 : 0};
}

__device__ float scaled(int byte, int channel, const Scaling& s) {
  const double value = static_cast<double>(byte) / 255 - static_cast<double>(s.mean[channel]);
  return static_cast<float>(value / static_cast<double>(s.std[channel]));
}

/// images, y: (n) elements, three per pixel
__global__ void image_elements(const uint8_t* images, float* y, int64_t n, Scaling scaling) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < n) {
    const int channel = static_cast<int>(i % 3);
    const int from = scaling.first == 0 ? channel : 2 - channel;
    y[i] = scaled(images[i - channel + from], channel, scaling);
  }
}

__global__ void fill_table(float* table, Scaling scaling) {  // table: (3, 256)
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < kImageTableSize) table[i] = scaled(i % 256, i / 256, scaling);
}

constexpr int64_t kGroupsPerThread = 16;  // pay for a block's copy of the table
constexpr int64_t kBlockElements = 4 * kGroupsPerThread * kThreads;

/// Four neighbouring elements per thread at a time, of one or two pixels. `swap`: red and blue change places.
__global__ void image_groups(const uint8_t* images, const float* table, float* y, int64_t n, bool swap,
                             bool vectors) {  // images, y: (n) elements, three per pixel; table: (3, 256)
  SHARED(float, value, kImageTableSize);
  for (int k = static_cast<int>(threadIdx.x); k < kImageTableSize; k += kThreads) value[k] = table[k];
  simt::sync_threads();
  const int64_t block = blockIdx.x * kBlockElements;
  for (int64_t group = threadIdx.x; group < kGroupsPerThread * kThreads; group += kThreads) {
    const int64_t begin = block + 4 * group;
    int channel = static_cast<int>(begin % 3);
    float out[4];
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      const int64_t i = begin + k;
      out[k] = i < n ? value[256 * channel + images[swap ? i + 2 - 2 * channel : i]] : 0.0F;
      channel = channel == 2 ? 0 : channel + 1;
    }
    if (vectors && begin + 4 <= n) {
      simt::store_vector(y + begin, float4{out[0], out[1], out[2], out[3]});
    } else {
      for (int k = 0; k < 4 && begin + k < n; ++k) y[begin + k] = out[k];
    }
  }
}

}  // namespace

void cast(const void* source, DType source_type, void* target, DType target_type, int64_t n, Stream stream) {
  cast_any<4>(source, source_type, target, target_type, n, stream);
}

void cast_naive(const void* source, DType source_type, void* target, DType target_type, int64_t n,
                Stream stream) {
  cast_any<1>(source, source_type, target, target_type, n, stream);
}

void fill_image_table(float* table, const ImageScaling& scaling, Stream stream) {
  launch<fill_table>(blocks_for(kImageTableSize, kThreads), kThreads, 0, stream, table, scaling_of(scaling));
}

void image_to_float(const uint8_t* images, float* y, int64_t n, int64_t pixels, const ImageScaling& scaling,
                    Stream stream) {
  const int64_t elements = 3 * n * pixels;
  if (elements == 0) return;
  const DeviceArray<float> table(kImageTableSize);
  fill_image_table(table.data(), scaling, stream);
  launch<image_groups>(blocks_for(elements, kBlockElements), kThreads, 0, stream, images,
                       static_cast<const float*>(table.data()), y, elements, scaling.swap_red_blue,
                       aligned_to(sizeof(float4), y));
}

void image_to_float_naive(const uint8_t* images, float* y, int64_t n, int64_t pixels,
                          const ImageScaling& scaling, Stream stream) {
  const int64_t elements = 3 * n * pixels;
  if (elements == 0) return;
  launch<image_elements>(blocks_for(elements, kThreads), kThreads, 0, stream, images, y, elements,
                         scaling_of(scaling));
}

}  // namespace mt::MT_BACKEND
