#include "kernels/pool/pool.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "tensor/check.h"

namespace mt {
namespace {

// Calls f(input index, output index, position in the window) for every pair of an output and an input pixel
// that is inside of the image, outputs and window positions in row-major order.
template <typename F>
void for_each_tap(int64_t n, int64_t h, int64_t w, int64_t c, PoolWindow window, F f) {
  const int64_t out_h = window.pooled(h);
  const int64_t out_w = window.pooled(w);
  for (int64_t b = 0; b < n; ++b) {
    for (int64_t oy = 0; oy < out_h; ++oy) {
      for (int64_t ox = 0; ox < out_w; ++ox) {
        for (int64_t k = 0; k < window.window * window.window; ++k) {
          const int64_t iy = oy * window.stride - window.padding + k / window.window;
          const int64_t ix = ox * window.stride - window.padding + k % window.window;
          if (iy < 0 || iy >= h || ix < 0 || ix >= w) continue;
          for (int64_t ch = 0; ch < c; ++ch) {
            f(((b * h + iy) * w + ix) * c + ch, ((b * out_h + oy) * out_w + ox) * c + ch, k);
          }
        }
      }
    }
  }
}

int64_t outputs(int64_t n, int64_t h, int64_t w, int64_t c, PoolWindow window) {
  return n * window.pooled(h) * window.pooled(w) * c;
}

void max_forward(const double* x, double* y, uint8_t* argmax, int64_t n, int64_t h, int64_t w, int64_t c,
                 PoolWindow window, Stream) {
  constexpr uint8_t kNone = 255;
  std::vector<uint8_t> chosen(static_cast<std::size_t>(outputs(n, h, w, c, window)), kNone);
  for_each_tap(n, h, w, c, window, [&](int64_t in, int64_t out, int64_t k) {
    uint8_t& choice = chosen[static_cast<std::size_t>(out)];
    if (choice == kNone || x[in] > y[out] || (std::isnan(x[in]) && !std::isnan(y[out]))) {
      y[out] = x[in];
      choice = static_cast<uint8_t>(k);
    }
  });
  if (argmax != nullptr) std::copy(chosen.begin(), chosen.end(), argmax);
}

void max_backward(const double* dy, const uint8_t* argmax, double* dx, int64_t n, int64_t h, int64_t w,
                  int64_t c, PoolWindow window, Stream) {
  for (int64_t i = 0; i < n * h * w * c; ++i) dx[i] = 0;
  for_each_tap(n, h, w, c, window, [&](int64_t in, int64_t out, int64_t k) {
    if (argmax[out] == k) dx[in] += dy[out];
  });
}

void global_average_forward(const double* x, double* y, int64_t n, int64_t pixels, int64_t c, Stream) {
  for (int64_t b = 0; b < n; ++b) {
    for (int64_t ch = 0; ch < c; ++ch) {
      double sum = 0;
      for (int64_t p = 0; p < pixels; ++p) sum += x[(b * pixels + p) * c + ch];
      y[b * c + ch] = sum / static_cast<double>(pixels);
    }
  }
}

void global_average_backward(const double* dy, double* dx, int64_t n, int64_t pixels, int64_t c, Stream) {
  for (int64_t i = 0; i < n * pixels * c; ++i)
    dx[i] = dy[i / (pixels * c) * c + i % c] / static_cast<double>(pixels);
}

}  // namespace

template <>
const Pool<double>& pool<double>(Device device) {
  check(device == Device::cpu, "pool: the double reference runs on the cpu only, not on {}", name_of(device));
  static constexpr Pool<double> table{max_forward, max_backward, global_average_forward,
                                      global_average_backward};
  return table;
}

}  // namespace mt
