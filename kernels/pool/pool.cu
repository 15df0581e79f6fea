// Max and global average pooling on cuda and simt. Math: pool.md. One thread per output in every
// kernel: an input pixel gathers from its windows, so nothing is added twice to one place. The naive version
// takes one channel per thread; the fast one four neighbours in 16-byte accesses, and sums the global average
// by blocks.

#include "kernels/pool/pool.h"

#include <string>
#include <type_traits>

#include "kernels/common/tables.h"
#include "kernels/common/vectors.cuh"
#include "kernels/device/kernel.h"

namespace mt::MT_BACKEND {
namespace {

constexpr int kThreads = 128;

/// Sizes that fit 32 bits, so that a thread finds its place by cheap divisions; `groups` are of kWidth
/// channels.
struct Shape {
  int64_t n;
  int h, w;                // of x
  int pooled_h, pooled_w;  // of y
  int groups;
  int window, stride, padding;
};

/// A thread's (image, row, column, group of channels) in an array (N, height, width, groups).
struct Place {
  __device__ Place(int64_t i, int height, int width, int groups) {
    // One 64-bit division; what is left of an image fits 32 bits.
    const int64_t image_size = static_cast<int64_t>(height) * width * groups;
    image = i / image_size;
    auto rest = static_cast<unsigned>(i % image_size);
    group = static_cast<int>(rest % static_cast<unsigned>(groups));
    rest /= static_cast<unsigned>(groups);
    column = static_cast<int>(rest % static_cast<unsigned>(width));
    row = static_cast<int>(rest / static_cast<unsigned>(width));
  }
  int64_t image;
  int row;
  int column;
  int group;
};

/// [begin, end) of the taps of output o that are inside of an axis of `size` pixels, and of the input where
/// tap 0 lies.
struct Taps {
  __device__ Taps(int o, int size, const Shape& s) : origin(o * s.stride - s.padding) {
    begin = origin < 0 ? -origin : 0;
    end = origin + s.window > size ? size - origin : s.window;
  }
  int origin;
  int begin;
  int end;
};

/// [begin, end) of the outputs whose window holds input i.
struct Windows {
  __device__ Windows(int i, int pooled, const Shape& s) {
    const int last = i + s.padding;
    const int first = last - s.window + 1;
    begin = first <= 0 ? 0 : (first + s.stride - 1) / s.stride;
    end = last / s.stride + 1;
    if (end > pooled) end = pooled;
  }
  int begin;
  int end;
};

/// The kWidth arg-maxima of a thread.
template <int kWidth>
struct alignas(kWidth) Bytes {
  uint8_t value[kWidth];
};

// ---- 1. Max

/// argmax: null where not wanted.
template <int kWidth>
__global__ void max_forward_kernel(const float* x, float* y, uint8_t* argmax, int64_t outputs, Shape s) {
  // x: (N,H,W,groups,kWidth), y, argmax: (N,pooled H,pooled W,groups,kWidth) of `outputs` groups
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < outputs) {
    const Place at(i, s.pooled_h, s.pooled_w, s.groups);
    const Taps rows(at.row, s.h, s);
    const Taps columns(at.column, s.w, s);
    FloatGroup<kWidth> best{};
    Bytes<kWidth> tap{};
    bool first = true;
    for (int ky = rows.begin; ky < rows.end; ++ky) {
      const int64_t row = (at.image * s.h + rows.origin + ky) * s.w;
      for (int kx = columns.begin; kx < columns.end; ++kx) {
        const int64_t place = (row + columns.origin + kx) * s.groups + at.group;
        const auto value = simt::load_vector<FloatGroup<kWidth>>(x + place * kWidth);
#pragma unroll
        for (int k = 0; k < kWidth; ++k) {
          const float v = value.value[k];
          const float b = best.value[k];
          if (first || v > b || (v != v && b == b)) {  // the first NaN beats every number
            best.value[k] = v;
            tap.value[k] = static_cast<uint8_t>(ky * s.window + kx);
          }
        }
        first = false;
      }
    }
    simt::store_vector(y + i * kWidth, best);
    if (argmax != nullptr) simt::store_vector(argmax + i * kWidth, tap);
  }
}

template <int kWidth>
__global__ void max_backward_kernel(const float* dy, const uint8_t* argmax, float* dx, int64_t inputs,
                                    Shape s) {  // dx: (N,H,W,groups,kWidth) of `inputs` groups
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < inputs) {
    const Place at(i, s.h, s.w, s.groups);
    const Windows rows(at.row, s.pooled_h, s);
    const Windows columns(at.column, s.pooled_w, s);
    FloatGroup<kWidth> sum{};
    for (int oy = rows.begin; oy < rows.end; ++oy) {
      for (int ox = columns.begin; ox < columns.end; ++ox) {
        const int tap =
            (at.row + s.padding - oy * s.stride) * s.window + at.column + s.padding - ox * s.stride;
        const int64_t place = ((at.image * s.pooled_h + oy) * s.pooled_w + ox) * s.groups + at.group;
        const auto chosen = simt::load_vector<Bytes<kWidth>>(argmax + place * kWidth);
        const auto g = simt::load_vector<FloatGroup<kWidth>>(dy + place * kWidth);
#pragma unroll
        for (int k = 0; k < kWidth; ++k) {
          if (chosen.value[k] == tap) sum.value[k] += g.value[k];
        }
      }
    }
    simt::store_vector(dx + i * kWidth, sum);
  }
}

// ---- 2. Global average

__global__ void global_average_naive(const float* x, float* y, int64_t n, int64_t pixels,
                                     int64_t c) {  // x: (N,P,C), y: (N,C)
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < n * c) {
    double sum = 0;
    for (int64_t p = 0; p < pixels; ++p) sum += static_cast<double>(x[(i / c * pixels + p) * c + i % c]);
    y[i] = static_cast<float>(sum / static_cast<double>(pixels));
  }
}

constexpr int kRun = 8;               // pixels that a thread adds in float
constexpr int kRows = kThreads / 32;  // warps of a block, each with pixels of its own

/// A block has 32 · kWidth channels of one image. A warp adds every fourth run of 8 pixels: the run in float,
/// runs in double; the warps are added in order.
template <int kWidth>
__global__ void global_average_strips(const float* x, float* y, int64_t pixels, int64_t c,
                                      int64_t strips) {  // x: (N,P,C), y: (N,C); grid: N · strips
  SHARED(double, rows, kThreads* kWidth);                // (warps, lanes, kWidth)
  const int64_t image = blockIdx.x / strips;
  const int64_t channel = (blockIdx.x % strips * 32 + simt::lane()) * kWidth;
  double total[kWidth] = {};
  if (channel < c) {
    for (int64_t first = int64_t{kRun} * simt::warp(); first < pixels; first += kRun * kRows) {
      float sum[kWidth] = {};
#pragma unroll
      for (int p = 0; p < kRun; ++p) {
        if (first + p < pixels) {
          const float* from = x + (image * pixels + first + p) * c + channel;
          const auto value = simt::load_vector<FloatGroup<kWidth>>(from);
#pragma unroll
          for (int k = 0; k < kWidth; ++k) sum[k] += value.value[k];
        }
      }
#pragma unroll
      for (int k = 0; k < kWidth; ++k) total[k] += static_cast<double>(sum[k]);
    }
  }
#pragma unroll
  for (int k = 0; k < kWidth; ++k) rows[threadIdx.x * kWidth + k] = total[k];
  simt::sync_threads();
  if (simt::warp() == 0 && channel < c) {
    FloatGroup<kWidth> mean;
#pragma unroll
    for (int k = 0; k < kWidth; ++k) {
      for (int w = 1; w < kRows; ++w) total[k] += rows[(w * 32 + simt::lane()) * kWidth + k];
      mean.value[k] = static_cast<float>(total[k] / static_cast<double>(pixels));
    }
    simt::store_vector(y + image * c + channel, mean);
  }
}

/// A thread has kWidth channels of kRun pixels.
template <int kWidth>
__global__ void spread_average(const float* dy, float* dx, int64_t n, int64_t pixels, int64_t c,
                               int64_t runs) {  // dy: (N,C), dx: (N,P,C); runs: of an image's pixels
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const int64_t groups = c / kWidth;
  if (i < n * runs * groups) {
    const int64_t image = i / groups / runs;
    const int64_t first = i / groups % runs * kRun;
    const int64_t channel = i % groups * kWidth;
    auto share = simt::load_vector<FloatGroup<kWidth>>(dy + image * c + channel);
#pragma unroll
    for (int k = 0; k < kWidth; ++k) share.value[k] /= static_cast<float>(pixels);
    for (int p = 0; p < kRun; ++p) {
      if (first + p < pixels) simt::store_vector(dx + (image * pixels + first + p) * c + channel, share);
    }
  }
}

// ---- Host: one channel per thread (naive, and where four cannot be), or four

Shape shape_of(int64_t n, int64_t h, int64_t w, int64_t c, const PoolWindow& window, int64_t width) {
  const auto text = [](int64_t value) { return std::to_string(value); };
  if (window.window < 1 || window.window > 15 || window.stride < 1 || window.padding < 0 ||
      window.padding > window.window / 2) {
    fail_kernel("pool: window " + text(window.window) + " stride " + text(window.stride) + " padding " +
                text(window.padding) + ": the window is 1 to 15, the padding at most its half");
  }
  if (h + 2 * window.padding < window.window || w + 2 * window.padding < window.window) {
    fail_kernel("pool: an image of " + text(h) + " x " + text(w) + " is smaller than the window of " +
                text(window.window));
  }
  if (h * w * c > INT32_MAX || window.stride > INT32_MAX) {
    fail_kernel("pool: an image of " + text(h) + " x " + text(w) + " x " + text(c) +
                " has more than 2147483647 elements");
  }
  return {n,
          static_cast<int>(h),
          static_cast<int>(w),
          static_cast<int>(window.pooled(h)),
          static_cast<int>(window.pooled(w)),
          static_cast<int>(c / width),
          static_cast<int>(window.window),
          static_cast<int>(window.stride),
          static_cast<int>(window.padding)};
}

int64_t inputs_of(const Shape& s) {
  return s.n * s.h * s.w * s.groups;
}
int64_t outputs_of(const Shape& s) {
  return s.n * s.pooled_h * s.pooled_w * s.groups;
}

/// kMost channels per thread where the shape and all addresses allow, else one. Calls run(integral_constant).
template <int kMost, typename Run>
void with_width(int64_t c, bool aligned, const Run& run) {
  if (c % kMost == 0 && aligned) {
    run(std::integral_constant<int, kMost>{});
  } else {
    run(std::integral_constant<int, 1>{});
  }
}

template <int kMost>
void max_forward(const float* x, float* y, uint8_t* argmax, int64_t n, int64_t h, int64_t w, int64_t c,
                 PoolWindow window, Stream stream) {
  const bool aligned = aligned_to_vectors(x, y) && reinterpret_cast<std::uintptr_t>(argmax) % 4 == 0;
  with_width<kMost>(c, aligned, [&](auto width) {
    const Shape s = shape_of(n, h, w, c, window, width.value);
    const int64_t outputs = outputs_of(s);
    if (outputs == 0) return;
    launch<max_forward_kernel<width.value>>(blocks_for(outputs, kThreads), kThreads, 0, stream, x, y, argmax,
                                            outputs, s);
  });
}

template <int kMost>
void max_backward(const float* dy, const uint8_t* argmax, float* dx, int64_t n, int64_t h, int64_t w,
                  int64_t c, PoolWindow window, Stream stream) {
  const bool aligned = aligned_to_vectors(dy, dx) && reinterpret_cast<std::uintptr_t>(argmax) % 4 == 0;
  with_width<kMost>(c, aligned, [&](auto width) {
    const Shape s = shape_of(n, h, w, c, window, width.value);
    const int64_t inputs = inputs_of(s);
    if (inputs == 0) return;
    launch<max_backward_kernel<width.value>>(blocks_for(inputs, kThreads), kThreads, 0, stream, dy, argmax,
                                             dx, inputs, s);
  });
}

void global_average_forward_naive(const float* x, float* y, int64_t n, int64_t pixels, int64_t c,
                                  Stream stream) {
  if (n * c == 0) return;
  launch<global_average_naive>(blocks_for(n * c, kThreads), kThreads, 0, stream, x, y, n, pixels, c);
}

void global_average_forward(const float* x, float* y, int64_t n, int64_t pixels, int64_t c, Stream stream) {
  if (n * c == 0) return;
  with_width<4>(c, aligned_to_vectors(x, y), [&](auto width) {
    const int64_t strips = blocks_for(c, 32 * width.value);
    launch<global_average_strips<width.value>>(n * strips, kThreads, 0, stream, x, y, pixels, c, strips);
  });
}

template <int kMost>
void global_average_backward(const float* dy, float* dx, int64_t n, int64_t pixels, int64_t c,
                             Stream stream) {
  if (n * c == 0) return;
  with_width<kMost>(c, aligned_to_vectors(dy, dx), [&](auto width) {
    const int64_t runs = blocks_for(pixels, kRun);
    const int64_t threads = n * runs * (c / width.value);
    launch<spread_average<width.value>>(blocks_for(threads, kThreads), kThreads, 0, stream, dy, dx, n, pixels,
                                        c, runs);
  });
}

constexpr Pool<float> kFast{max_forward<4>, max_backward<4>, global_average_forward,
                            global_average_backward<4>};
constexpr Pool<float> kNaive{max_forward<1>, max_backward<1>, global_average_forward_naive,
                             global_average_backward<1>};

}  // namespace

void register_pool() {
  register_table(kDevice, kFast);
  register_table(kDevice, kNaive, "naive");
}

}  // namespace mt::MT_BACKEND
