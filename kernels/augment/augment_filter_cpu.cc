// Resampling and blur of the CPU's augmentation.

#include "kernels/augment/augment_steps.h"
#include "kernels/augment/augment_view.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/augment/augment_filter_cpu.cc"
#include <hwy/foreach_target.h>
// The headers above must come first: this file is compiled once per instruction set.
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <cstring>

HWY_BEFORE_NAMESPACE();
namespace mt::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// One row of pixels resampled: out[x] = Σ_k weights[x,k] · in[first[x] + k], in units of 2^-22, rounded.
// Reads and writes four bytes a pixel, so both need a byte more than 3 per pixel; the next pixel's write
// repairs what is too much.
void AugmentResampleRow(const uint8_t* in, const int32_t* first, const int32_t* weights, int64_t taps,
                        int64_t size, uint8_t* out) {
  const hn::CappedTag<int32_t, 4> d;
  const hn::Rebind<uint8_t, decltype(d)> bytes;
  for (int64_t x = 0; x < size; ++x) {
    for (int64_t c = 0; c < 3;
         c += static_cast<int64_t>(hn::Lanes(d))) {  // once, but for targets without vectors
      const uint8_t* p = in + 3 * first[x] + c;
      auto sum = hn::Set(d, 1 << 21);
      for (int64_t k = 0; k < taps; ++k) {
        const auto value = hn::PromoteTo(d, hn::LoadU(bytes, p + 3 * k));
        sum = hn::Add(sum, hn::Mul(value, hn::Set(d, weights[x * taps + k])));
      }
      hn::StoreU(hn::DemoteTo(bytes, hn::ShiftRight<22>(sum)), bytes, out + 3 * x + c);
    }
  }
}

// One output row from `taps` neighbouring input rows of `count` bytes.
void AugmentResampleColumn(const uint8_t* in, const int32_t* weights, int64_t taps, int64_t count,
                           uint8_t* out) {
  const hn::CappedTag<int32_t, 16> d;
  const hn::Rebind<uint8_t, decltype(d)> bytes;
  for (int64_t i = 0; i < count; i += static_cast<int64_t>(hn::Lanes(d))) {
    auto sum = hn::Set(d, 1 << 21);
    for (int64_t k = 0; k < taps; ++k) {
      const auto value = hn::PromoteTo(d, hn::LoadU(bytes, in + k * count + i));
      sum = hn::Add(sum, hn::Mul(value, hn::Set(d, weights[k])));
    }
    hn::StoreU(hn::DemoteTo(bytes, hn::ShiftRight<22>(sum)), bytes, out + i);
  }
}

// out[i] = Σ_k weights[k] · in[i + 3 k]: at most 255 · 256, which 16 bits hold.
void AugmentBlurRow(const uint8_t* in, const uint16_t* weights, int64_t taps, int64_t count, uint16_t* out) {
  const hn::CappedTag<uint16_t, 32> d;
  const hn::Rebind<uint8_t, decltype(d)> bytes;
  for (int64_t i = 0; i < count; i += static_cast<int64_t>(hn::Lanes(d))) {
    auto sum = hn::Zero(d);
    for (int64_t k = 0; k < taps; ++k) {
      const auto value = hn::PromoteTo(d, hn::LoadU(bytes, in + i + 3 * k));
      sum = hn::Add(sum, hn::Mul(value, hn::Set(d, weights[k])));
    }
    hn::StoreU(sum, d, out + i);
  }
}

// out = Σ_k weights[k] · rows[k] in units of 2^-16, rounded.
void AugmentBlurColumn(const uint16_t* const* rows, const uint16_t* weights, int64_t taps, int64_t count,
                       uint8_t* out) {
  const hn::CappedTag<int32_t, 16> d;
  const hn::Rebind<uint16_t, decltype(d)> halves;
  const hn::Rebind<uint8_t, decltype(d)> bytes;
  for (int64_t i = 0; i < count; i += static_cast<int64_t>(hn::Lanes(d))) {
    auto sum = hn::Set(d, 1 << 15);
    for (int64_t k = 0; k < taps; ++k) {
      const auto value = hn::PromoteTo(d, hn::LoadU(halves, rows[k] + i));
      sum = hn::Add(sum, hn::Mul(value, hn::Set(d, static_cast<int32_t>(weights[k]))));
    }
    hn::StoreU(hn::DemoteTo(bytes, hn::ShiftRight<16>(sum)), bytes, out + i);
  }
}

}  // namespace mt::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mt {

HWY_EXPORT(AugmentResampleRow);
HWY_EXPORT(AugmentResampleColumn);
HWY_EXPORT(AugmentBlurRow);
HWY_EXPORT(AugmentBlurColumn);

namespace augment_cpu {
namespace {

/// Weights of a triangle filter for one axis: output i reads `taps` inputs from first[i] on (weights of 0
/// fill up).
struct Filter {
  int64_t taps;
  std::vector<int32_t> first;
  std::vector<int32_t> weights;  // (size, taps), in units of 2^-22

  Filter(int64_t in_size, int64_t size)
      : taps(resample_taps(in_size, size)),
        first(static_cast<std::size_t>(size)),
        weights(static_cast<std::size_t>(size * taps)) {
    const double scale = static_cast<double>(in_size) / static_cast<double>(size);
    const double reach = support(in_size, size);
    std::vector<double> exact(static_cast<std::size_t>(taps));
    for (int64_t out = 0; out < size; ++out) {
      const double centre = (static_cast<double>(out) + 0.5) * scale;
      const int64_t begin = std::max<int64_t>(0, static_cast<int64_t>(centre - reach + 0.5));
      const int64_t end = std::min(in_size, static_cast<int64_t>(centre + reach + 0.5));
      double sum = 0;
      for (int64_t i = begin; i < end; ++i) {
        const double distance = std::abs((static_cast<double>(i) - centre + 0.5) * (1.0 / reach));
        sum += exact[static_cast<std::size_t>(i - begin)] = std::max(0.0, 1.0 - distance);
      }
      const int64_t start = std::min(begin, in_size - taps);  // so that all taps lie inside
      first[static_cast<std::size_t>(out)] = static_cast<int32_t>(start);
      for (int64_t i = begin; i < end; ++i) {
        weights[static_cast<std::size_t>(out * taps + i - start)] =
            static_cast<int32_t>(0.5 + exact[static_cast<std::size_t>(i - begin)] / sum * (1 << 22));
      }
    }
  }
  static double support(int64_t in_size, int64_t size) {
    return std::max(1.0, static_cast<double>(in_size) / static_cast<double>(size));
  }
};

int64_t mirrored(int64_t i, int64_t n) {
  if (n == 1) return 0;
  const int64_t period = 2 * (n - 1);
  const int64_t rest = (i % period + period) % period;
  return rest < n ? rest : period - rest;
}

template <typename E>
E* at_least(std::vector<E>& buffer, int64_t elements) {
  if (static_cast<int64_t>(buffer.size()) < elements + kPadding)
    buffer.resize(static_cast<std::size_t>(elements + kPadding));
  return buffer.data();
}

}  // namespace

BlurKernel::BlurKernel(int64_t size, double sigma) {
  const int64_t radius = size / 2;
  std::vector<double> bell(static_cast<std::size_t>(radius));
  double sum = 0;
  for (int64_t i = 0; i < radius; ++i) {
    const auto twice = static_cast<double>(1 - size + 2 * i);
    sum += bell[static_cast<std::size_t>(i)] = std::exp(twice * twice * (-0.125 / (sigma * sigma)));
  }
  sum = sum * 2 + 1;
  std::vector<uint16_t> half;
  double carried = 0;
  int64_t total = 0;
  for (const double value : bell) {
    const double exact = value * (1 / sum) * 256 + carried;
    const int64_t weight = std::llrint(exact);
    carried = exact - static_cast<double>(weight);
    total += 2 * weight;
    if (weight != 0 || !half.empty()) half.push_back(static_cast<uint16_t>(weight));
  }
  weights = half;
  weights.push_back(static_cast<uint16_t>(256 - total));
  weights.insert(weights.end(), half.rbegin(), half.rend());
}

void crop_and_resize(const uint8_t* image, int64_t width, const Box& box, int64_t out_height,
                     int64_t out_width, Scratch& scratch) {
  const int64_t row_bytes = 3 * out_width;
  const Filter across(box.width, out_width);
  const Filter down(box.height, out_height);
  uint8_t* line = at_least(scratch.line, 3 * box.width);
  uint8_t* wide = at_least(scratch.wide, box.height * row_bytes);
  uint8_t* view = at_least(scratch.view, out_height * row_bytes);
  for (int64_t y = 0; y < box.height; ++y) {
    const uint8_t* row = image + ((box.top + y) * width + box.left) * 3;
    std::memcpy(line, row,
                static_cast<std::size_t>(3 * box.width));  // behind which a fourth byte may be read
    HWY_DYNAMIC_DISPATCH(AugmentResampleRow)
    (line, across.first.data(), across.weights.data(), across.taps, out_width, wide + y * row_bytes);
  }
  for (int64_t y = 0; y < out_height; ++y) {
    const auto first = static_cast<int64_t>(down.first[static_cast<std::size_t>(y)]);
    HWY_DYNAMIC_DISPATCH(AugmentResampleColumn)
    (wide + first * row_bytes, down.weights.data() + y * down.taps, down.taps, row_bytes,
     view + y * row_bytes);
  }
}

void blur(int64_t size, int64_t blur_size, double sigma, Scratch& scratch) {
  const BlurKernel kernel(blur_size, sigma);
  const int64_t radius = kernel.radius();
  const int64_t row_bytes = 3 * size;
  uint8_t* view = scratch.view.data();
  uint8_t* line = at_least(scratch.line, row_bytes + 6 * radius);
  uint16_t* blurred = at_least(scratch.blurred, size * row_bytes);
  for (int64_t y = 0; y < size; ++y) {
    const uint8_t* row = view + y * row_bytes;
    std::memcpy(line + 3 * radius, row, static_cast<std::size_t>(row_bytes));
    for (int64_t i = 1; i <= radius; ++i) {
      std::memcpy(line + 3 * (radius - i), row + 3 * mirrored(-i, size), 3);
      std::memcpy(line + 3 * (radius + size - 1 + i), row + 3 * mirrored(size - 1 + i, size), 3);
    }
    HWY_DYNAMIC_DISPATCH(AugmentBlurRow)
    (line, kernel.weights.data(), kernel.taps(), row_bytes, blurred + y * row_bytes);
  }
  std::vector<const uint16_t*> rows(kernel.weights.size());
  for (int64_t y = 0; y < size; ++y) {
    for (int64_t k = 0; k < kernel.taps(); ++k) {
      rows[static_cast<std::size_t>(k)] = blurred + mirrored(y + k - radius, size) * row_bytes;
    }
    HWY_DYNAMIC_DISPATCH(AugmentBlurColumn)
    (rows.data(), kernel.weights.data(), kernel.taps(), row_bytes, view + y * row_bytes);
  }
}

}  // namespace augment_cpu
}  // namespace mt
#endif
