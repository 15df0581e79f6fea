#include "kernels/copy/copy.h"

#include <cstring>
#include <vector>

#include "kernels/common/tables.h"
#include "tensor/parallel.h"

namespace mt {
namespace {

struct Axis {
  int64_t size;
  int64_t stride;  // in elements of the source
};

// The view's axes without those of size 1, neighbours that step as one merged; outermost first, never empty.
std::vector<Axis> merged_axes(std::span<const int64_t> dims, std::span<const int64_t> strides) {
  std::vector<Axis> axes;
  for (std::size_t d = 0; d < dims.size(); ++d) {
    if (dims[d] == 1) continue;
    if (!axes.empty() && axes.back().stride == strides[d] * dims[d]) {
      axes.back() = {axes.back().size * dims[d], strides[d]};
    } else {
      axes.push_back({dims[d], strides[d]});
    }
  }
  if (axes.empty()) axes.push_back({1, 1});
  return axes;
}

// One run along the innermost axis. E has the size of an element.
template <typename E>
void copy_run(const E* source, Axis axis, E* target) {
  if (axis.stride == 1) {
    std::memcpy(target, source, static_cast<std::size_t>(axis.size) * sizeof(E));
    return;
  }
  for (int64_t i = 0; i < axis.size; ++i) target[i] = source[i * axis.stride];
}

/// Rows, and columns, that are copied together, so that a transpose uses whole cache lines of both sides.
constexpr int64_t kTile = 16;

// At most kTile rows: each is a run, or all are a transpose when neighbouring rows are neighbours in the
// source.
template <typename E>
void copy_rows(const E* source, Axis rows, Axis inner, E* target) {
  if (inner.stride == 1 || rows.stride != 1) {
    for (int64_t r = 0; r < rows.size; ++r)
      copy_run(source + r * rows.stride, inner, target + r * inner.size);
    return;
  }
  for (int64_t begin = 0; begin < inner.size; begin += kTile) {
    const int64_t end = std::min(inner.size, begin + kTile);
    for (int64_t r = 0; r < rows.size; ++r) {
      for (int64_t i = begin; i < end; ++i) target[r * inner.size + i] = source[r + i * inner.stride];
    }
  }
}

template <typename E>
void strided_elements(const E* source, const std::vector<Axis>& axes, E* target) {
  const Axis inner = axes.back();
  if (axes.size() == 1) {
    parallel_for(inner.size, 65536, [=](int64_t begin, int64_t end) {
      copy_run(source + begin * inner.stride, {end - begin, inner.stride}, target + begin);
    });
    return;
  }
  const Axis rows = axes[axes.size() - 2];
  const int64_t tiles = (rows.size + kTile - 1) / kTile;
  int64_t planes = 1;
  for (std::size_t d = 0; d + 2 < axes.size(); ++d) planes *= axes[d].size;
  parallel_for(planes * tiles, std::max<int64_t>(1, 16384 / (inner.size * kTile)),
               [&](int64_t begin, int64_t end) {
                 for (int64_t task = begin; task < end; ++task) {
                   const int64_t plane = task / tiles;
                   const int64_t first = task % tiles * kTile;
                   int64_t offset = first * rows.stride;
                   int64_t rest = plane;
                   for (std::size_t d = axes.size() - 2; d-- > 0; rest /= axes[d].size) {
                     offset += rest % axes[d].size * axes[d].stride;
                   }
                   copy_rows(source + offset, {std::min(kTile, rows.size - first), rows.stride}, inner,
                             target + (plane * rows.size + first) * inner.size);
                 }
               });
}

void strided(const void* source, std::span<const int64_t> dims, std::span<const int64_t> strides,
             void* target, int64_t element_bytes, Stream) {
  check(dims.size() == strides.size(), "copy: {} dimensions but {} strides", dims.size(), strides.size());
  for (const int64_t dim : dims) {
    if (dim == 0) return;
  }
  const auto axes = merged_axes(dims, strides);
  const auto run = [&]<typename E>(E) {
    strided_elements(static_cast<const E*>(source), axes, static_cast<E*>(target));
  };
  switch (element_bytes) {
    case 1:
      return run(uint8_t{});
    case 2:
      return run(uint16_t{});
    case 4:
      return run(uint32_t{});
    case 8:
      return run(uint64_t{});
    default:
      fail("copy: elements of {} bytes; 1, 2, 4 and 8 are there", element_bytes);
  }
}

// Element types as C++ types, bf16 and f16 as wrappers that widen.
struct Bf16 {
  uint16_t bits;
  explicit operator float() const { return bf16_to_float(bits); }
};
struct F16 {
  uint16_t bits;
  explicit operator float() const { return f16_to_float(bits); }
};
struct Bool {
  uint8_t byte;
};

template <typename Target, typename Source>
Target converted(Source value, [[maybe_unused]] int64_t i) {
  if constexpr (std::is_same_v<Source, Bf16> || std::is_same_v<Source, F16>) {
    return converted<Target>(static_cast<float>(value), i);
  } else if constexpr (std::is_same_v<Source, Bool>) {
    return converted<Target>(static_cast<uint8_t>(value.byte != 0), i);
  } else if constexpr (std::is_same_v<Target, Bf16>) {
    return Bf16{float_to_bf16(static_cast<float>(value))};
  } else if constexpr (std::is_same_v<Target, int64_t> && std::is_floating_point_v<Source>) {
    check(value >= Source{-0x1p63F} && value < Source{0x1p63F}, "cast: element {} ({}) is no i64", i, value);
    return static_cast<int64_t>(value);
  } else {
    return static_cast<Target>(value);
  }
}

template <typename Target, typename Source>
void cast_elements(const void* source, void* target, int64_t n) {
  const auto* from = static_cast<const Source*>(source);
  auto* to = static_cast<Target*>(target);
  parallel_for(n, 16384, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) to[i] = converted<Target>(from[i], i);
  });
}

template <typename Target>
void cast_to(const void* source, DType source_type, void* target, int64_t n) {
  switch (source_type) {
    case DType::f32:
      return cast_elements<Target, float>(source, target, n);
    case DType::f64:
      return cast_elements<Target, double>(source, target, n);
    case DType::bf16:
      return cast_elements<Target, Bf16>(source, target, n);
    case DType::f16:
      return cast_elements<Target, F16>(source, target, n);
    case DType::u8:
      return cast_elements<Target, uint8_t>(source, target, n);
    case DType::i8:
      return cast_elements<Target, int8_t>(source, target, n);
    case DType::i16:
      return cast_elements<Target, int16_t>(source, target, n);
    case DType::i32:
      return cast_elements<Target, int32_t>(source, target, n);
    case DType::i64:
      return cast_elements<Target, int64_t>(source, target, n);
    case DType::boolean:
      return cast_elements<Target, Bool>(source, target, n);
  }
}

void cast(const void* source, DType source_type, void* target, DType target_type, int64_t n, Stream) {
  if (source_type == target_type) {
    if (n > 0) std::memcpy(target, source, static_cast<std::size_t>(n) * size_of(source_type));
    return;
  }
  switch (target_type) {
    case DType::f32:
      return cast_to<float>(source, source_type, target, n);
    case DType::f64:
      return cast_to<double>(source, source_type, target, n);
    case DType::bf16:
      return cast_to<Bf16>(source, source_type, target, n);
    case DType::i64:
      return cast_to<int64_t>(source, source_type, target, n);
    default:
      fail("cast: {} to {} is not there; targets are f32, f64, bf16 and i64", name_of(source_type),
           name_of(target_type));
  }
}

void image_to_float(const uint8_t* images, float* y, int64_t n, int64_t pixels, const ImageScaling& scaling,
                    Stream) {
  const ImageTable table = image_table(scaling);
  const int64_t first = scaling.swap_red_blue ? 2 : 0;
  parallel_for(n * pixels, 8192, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const uint8_t* pixel = images + 3 * i;
      y[3 * i] = table[0][pixel[first]];
      y[3 * i + 1] = table[1][pixel[1]];
      y[3 * i + 2] = table[2][pixel[2 - first]];
    }
  });
}

}  // namespace

ImageTable image_table(const ImageScaling& scaling) {
  ImageTable table;
  for (std::size_t c = 0; c < 3; ++c) {
    for (std::size_t v = 0; v < 256; ++v) {
      const double value = static_cast<double>(v) / 255 - static_cast<double>(scaling.mean[c]);
      table[c][v] = static_cast<float>(value / static_cast<double>(scaling.std[c]));
    }
  }
  return table;
}

template <>
const Copy<float>& copy<float>(Device device) {
  static constexpr Copy<float> table{strided, cast, image_to_float};
  return device == Device::cpu ? table : device_table<Copy<float>>(device, "copy");
}

}  // namespace mt
