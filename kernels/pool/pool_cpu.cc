#include "kernels/pool/pool.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/pool/pool_cpu.cc"
#include <hwy/foreach_target.h>
// The headers above must come first: this file is compiled once per instruction set.
#include <hwy/highway.h>

#include "kernels/common/lanes-inl.h"
#include "kernels/common/tables.h"
#include "tensor/parallel.h"

#ifndef MT_KERNELS_POOL_POOL_CPU_CC_
#define MT_KERNELS_POOL_POOL_CPU_CC_
namespace mt::pool_cpu {

/// Where one row of pooled (or of input) pixels lies.
struct Geometry {
  int64_t n, h, w, c, out_h, out_w;
  PoolWindow window;
};

}  // namespace mt::pool_cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace mt::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using pool_cpu::Geometry;

// Every lane is a channel of its own, so the register width does not matter here.
using PoolD = hn::CappedTag<float, 16>;

// Calls f(channel, tag) with vectors of the full width, then of one lane for what is left.
template <typename F>
HWY_INLINE void for_each_channel_vector(int64_t c, const F& f) {
  constexpr int64_t width = hn::MaxLanes(PoolD());
  int64_t ch = 0;
  for (; ch + width <= c; ch += width) f(ch, PoolD());
  for (; ch < c; ++ch) f(ch, hn::CappedTag<float, 1>());
}

/// Taps of a window that are inside of the image along one axis: [first, last), position start + tap.
struct Taps {
  Taps(int64_t out, int64_t size, const PoolWindow& window)
      : start(out * window.stride - window.padding),
        first(std::max<int64_t>(0, -start)),
        last(std::min(window.window, size - start)) {}
  int64_t start;
  int64_t first;
  int64_t last;
};

void PoolMaxRow(const float* x, float* y, uint8_t* argmax, const Geometry& g, int64_t row) {
  const Taps ty(row % g.out_h, g.h, g.window);
  const float* image = x + row / g.out_h * g.h * g.w * g.c;  // (H,W,C)
  for (int64_t ox = 0; ox < g.out_w; ++ox) {
    const Taps tx(ox, g.w, g.window);
    const int64_t out = (row * g.out_w + ox) * g.c;
    for_each_channel_vector(g.c, [&](int64_t ch, auto d) HWY_ATTR {
      const hn::Rebind<int32_t, decltype(d)> ints;
      const hn::Rebind<uint8_t, decltype(d)> bytes;
      const auto tap = [&](int64_t ky, int64_t kx) HWY_ATTR {
        return hn::LoadU(d, image + ((ty.start + ky) * g.w + tx.start + kx) * g.c + ch);
      };
      auto best = tap(ty.first, tx.first);
      auto choice = hn::Set(ints, static_cast<int32_t>(ty.first * g.window.window + tx.first));
      for (int64_t ky = ty.first; ky < ty.last; ++ky) {
        for (int64_t kx = tx.first; kx < tx.last; ++kx) {
          const auto v = tap(ky, kx);
          // v > best, or v is the first NaN: not (v <= best), and best is a number.
          const auto better = hn::AndNot(hn::Le(v, best), hn::Eq(best, best));
          const auto k = hn::Set(ints, static_cast<int32_t>(ky * g.window.window + kx));
          best = hn::IfThenElse(better, v, best);
          choice = hn::IfThenElse(hn::RebindMask(ints, better), k, choice);
        }
      }
      hn::StoreU(best, d, y + out + ch);
      if (argmax != nullptr) hn::StoreU(hn::DemoteTo(bytes, choice), bytes, argmax + out + ch);
    });
  }
}

/// Windows along one axis that contain position `in`: [first, last]; the tap of window o is in + padding − o
/// · stride.
struct Windows {
  Windows(int64_t in, int64_t outputs, const PoolWindow& window)
      : first((std::max<int64_t>(0, in + window.padding - window.window + 1) + window.stride - 1) /
              window.stride),
        last(std::min(outputs - 1, (in + window.padding) / window.stride)) {}
  int64_t first;
  int64_t last;
};

// One row of input pixels gathers from the windows that contain it, so that no two threads write to one
// place.
void PoolMaxBackwardRow(const float* dy, const uint8_t* argmax, float* dx, const Geometry& g, int64_t row) {
  const int64_t iy = row % g.h;
  const Windows wy(iy, g.out_h, g.window);
  const int64_t image = row / g.h * g.out_h * g.out_w * g.c;
  for (int64_t ix = 0; ix < g.w; ++ix) {
    const Windows wx(ix, g.out_w, g.window);
    for_each_channel_vector(g.c, [&](int64_t ch, auto d) HWY_ATTR {
      const hn::Rebind<int32_t, decltype(d)> ints;
      const hn::Rebind<uint8_t, decltype(d)> bytes;
      auto sum = hn::Zero(d);
      for (int64_t oy = wy.first; oy <= wy.last; ++oy) {
        for (int64_t ox = wx.first; ox <= wx.last; ++ox) {
          const int64_t ky = iy + g.window.padding - oy * g.window.stride;
          const int64_t kx = ix + g.window.padding - ox * g.window.stride;
          const int64_t out = image + (oy * g.out_w + ox) * g.c + ch;
          const auto choice = hn::PromoteTo(ints, hn::LoadU(bytes, argmax + out));
          const auto chosen = hn::Eq(choice, hn::Set(ints, static_cast<int32_t>(ky * g.window.window + kx)));
          sum = hn::Add(sum, hn::IfThenElseZero(hn::RebindMask(d, chosen), hn::LoadU(d, dy + out)));
        }
      }
      hn::StoreU(sum, d, dx + (row * g.w + ix) * g.c + ch);
    });
  }
}

// Blocks of 64 pixels are summed in order, then the blocks.
void PoolGlobalAverage(const float* x, float* y, int64_t pixels, int64_t c) {  // (P,C) → (C)
  for_each_channel_vector(c, [&](int64_t ch, auto d) HWY_ATTR {
    auto total = hn::Zero(d);
    for (int64_t begin = 0; begin < pixels; begin += 64) {
      auto sum = hn::Zero(d);
      for (int64_t p = begin; p < std::min(pixels, begin + 64); ++p)
        sum = hn::Add(sum, hn::LoadU(d, x + p * c + ch));
      total = hn::Add(total, sum);
    }
    hn::StoreU(hn::Div(total, hn::Set(d, static_cast<float>(pixels))), d, y + ch);
  });
}

void PoolGlobalAverageBackward(const float* dy, float* dx, int64_t pixels, int64_t c) {  // (C) → (P,C)
  for_each_channel_vector(c, [&](int64_t ch, auto d) HWY_ATTR {
    const auto share = hn::Div(hn::LoadU(d, dy + ch), hn::Set(d, static_cast<float>(pixels)));
    for (int64_t p = 0; p < pixels; ++p) hn::StoreU(share, d, dx + p * c + ch);
  });
}

}  // namespace mt::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mt {
namespace {

using pool_cpu::Geometry;

HWY_EXPORT(PoolMaxRow);
HWY_EXPORT(PoolMaxBackwardRow);
HWY_EXPORT(PoolGlobalAverage);
HWY_EXPORT(PoolGlobalAverageBackward);

Geometry geometry(int64_t n, int64_t h, int64_t w, int64_t c, PoolWindow window) {
  check(window.window >= 1 && window.window <= 15 && window.stride >= 1 && window.padding >= 0 &&
            window.padding <= window.window / 2,
        "pool: window {} stride {} padding {}: the window is 1 to 15, the padding at most its half",
        window.window, window.stride, window.padding);
  check(h + 2 * window.padding >= window.window && w + 2 * window.padding >= window.window,
        "pool: an image of {} x {} is smaller than the window of {}", h, w, window.window);
  return {n, h, w, c, window.pooled(h), window.pooled(w), window};
}

// Rows of pixels that make a range of about 16384 elements.
int64_t rows_per_range(int64_t w, int64_t c) {
  return std::max<int64_t>(1, 16384 / std::max<int64_t>(1, w * c));
}

template <typename Row>
void for_each_row(int64_t rows, int64_t w, int64_t c, const Row& row) {
  parallel_for(rows, rows_per_range(w, c), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) row(r);
  });
}

void max_forward(const float* x, float* y, uint8_t* argmax, int64_t n, int64_t h, int64_t w, int64_t c,
                 PoolWindow window, Stream) {
  const Geometry g = geometry(n, h, w, c, window);
  const auto run = HWY_DYNAMIC_DISPATCH(PoolMaxRow);
  for_each_row(n * g.out_h, g.out_w, c, [&](int64_t row) { run(x, y, argmax, g, row); });
}

void max_backward(const float* dy, const uint8_t* argmax, float* dx, int64_t n, int64_t h, int64_t w,
                  int64_t c, PoolWindow window, Stream) {
  const Geometry g = geometry(n, h, w, c, window);
  const auto run = HWY_DYNAMIC_DISPATCH(PoolMaxBackwardRow);
  for_each_row(n * h, w, c, [&](int64_t row) { run(dy, argmax, dx, g, row); });
}

void global_average_forward(const float* x, float* y, int64_t n, int64_t pixels, int64_t c, Stream) {
  const auto run = HWY_DYNAMIC_DISPATCH(PoolGlobalAverage);
  for_each_row(n, pixels, c, [&](int64_t image) { run(x + image * pixels * c, y + image * c, pixels, c); });
}

void global_average_backward(const float* dy, float* dx, int64_t n, int64_t pixels, int64_t c, Stream) {
  const auto run = HWY_DYNAMIC_DISPATCH(PoolGlobalAverageBackward);
  for_each_row(n, pixels, c, [&](int64_t image) { run(dy + image * c, dx + image * pixels * c, pixels, c); });
}

}  // namespace

template <>
const Pool<float>& pool<float>(Device device) {
  static constexpr Pool<float> table{max_forward, max_backward, global_average_forward,
                                     global_average_backward};
  return device == Device::cpu ? table : device_table<Pool<float>>(device, "pool");
}

}  // namespace mt
#endif
