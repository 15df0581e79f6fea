#include <algorithm>
#include <vector>

#include "kernels/conv2d/conv2d.h"
#include "tensor/check.h"

namespace mt {

void check_conv2d_shape(const Conv2dShape& s) {
  check(s.n >= 0 && s.h >= 0 && s.w >= 0 && s.c >= 0 && s.k >= 0,
        "conv2d: negative size in x ({},{},{},{}) or filters {}", s.n, s.h, s.w, s.c, s.k);
  check(
      s.r >= 1 && s.s >= 1 && s.stride >= 1 && s.padding >= 0,
      "conv2d: filter {}x{}, stride {}, padding {}: filter and stride must be at least 1, padding at least 0",
      s.r, s.s, s.stride, s.padding);
  check(
      s.h + 2 * s.padding >= s.r && s.w + 2 * s.padding >= s.s,
      "conv2d: an image of {}x{} px with padding {} is smaller than the filter of {}x{}; use larger patches",
      s.h, s.w, s.padding, s.r, s.s);
}

void check_conv2d_pixels(const Conv2dShape& s) {
  check(s.c == 3, "conv2d: pixels have 3 channels, not {}", s.c);
  check_conv2d_shape(s);
}

namespace {

/// Calls term(x index, weight index, y index) for each product of the convolution, in the order n, p, q, k,
/// r, s, c.
template <typename Term>
void for_each_term(const Conv2dShape& d, const Term& term) {
  const int64_t out_h = d.out_h();
  const int64_t out_w = d.out_w();
  for (int64_t n = 0; n < d.n; ++n) {
    for (int64_t p = 0; p < out_h; ++p) {
      for (int64_t q = 0; q < out_w; ++q) {
        for (int64_t k = 0; k < d.k; ++k) {
          for (int64_t r = 0; r < d.r; ++r) {
            const int64_t h = p * d.stride + r - d.padding;
            if (h < 0 || h >= d.h) continue;
            for (int64_t s = 0; s < d.s; ++s) {
              const int64_t w = q * d.stride + s - d.padding;
              if (w < 0 || w >= d.w) continue;
              for (int64_t c = 0; c < d.c; ++c) {
                term(((n * d.h + h) * d.w + w) * d.c + c, ((k * d.r + r) * d.s + s) * d.c + c,
                     ((n * out_h + p) * out_w + q) * d.k + k);
              }
            }
          }
        }
      }
    }
  }
}

void forward(const double* x, const double* weight, double* y, const Conv2dShape& shape, Stream) {
  check_conv2d_shape(shape);
  std::fill_n(y, shape.n * shape.out_h() * shape.out_w() * shape.k, 0.0);
  for_each_term(shape, [=](int64_t ix, int64_t iw, int64_t iy) { y[iy] += x[ix] * weight[iw]; });
}

void backward_data(const double* dy, const double* weight, double* dx, const Conv2dShape& shape, Stream) {
  check_conv2d_shape(shape);
  std::fill_n(dx, shape.n * shape.h * shape.w * shape.c, 0.0);
  for_each_term(shape, [=](int64_t ix, int64_t iw, int64_t iy) { dx[ix] += dy[iy] * weight[iw]; });
}

void backward_weights(const double* x, const double* dy, double* dw, const Conv2dShape& shape, Stream) {
  check_conv2d_shape(shape);
  std::fill_n(dw, shape.k * shape.r * shape.s * shape.c, 0.0);
  for_each_term(shape, [=](int64_t ix, int64_t iw, int64_t iy) { dw[iw] += dy[iy] * x[ix]; });
}

void forward_fused(const double* x, const double* weight, double* y, const Conv2dShape& shape,
                   const Conv2dEpilogue<double>& e, Stream stream) {
  forward(x, weight, y, shape, stream);
  const int64_t pixels = shape.out_h() * shape.out_w();
  for (int64_t n = 0; n < shape.n; ++n) {
    for (int64_t k = 0; k < shape.k; ++k) {
      double sum = 0;
      double square_sum = 0;
      for (int64_t pixel = 0; pixel < pixels; ++pixel) {
        const int64_t i = (n * pixels + pixel) * shape.k + k;
        const double v =
            y[i] + (e.bias != nullptr ? e.bias[k] : 0) + (e.residual != nullptr ? e.residual[i] : 0);
        sum += v;
        square_sum += v * v;
        y[i] = e.relu && v < 0 ? 0 : v;
      }
      if (e.sums != nullptr) e.sums[n * shape.k + k] = sum;
      if (e.square_sums != nullptr) e.square_sums[n * shape.k + k] = square_sum;
    }
  }
}

void forward_pixels(const uint8_t* pixels, const ImageScaling& scaling, const double* weight, double* y,
                    const Conv2dShape& shape, const Conv2dEpilogue<double>& epilogue, Stream stream) {
  check_conv2d_pixels(shape);
  std::vector<double> x(static_cast<std::size_t>(shape.n * shape.h * shape.w * 3));
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::size_t c = i % 3;
    const std::size_t from = scaling.swap_red_blue ? i - c + 2 - c : i;
    x[i] =
        (pixels[from] / 255.0 - static_cast<double>(scaling.mean[c])) / static_cast<double>(scaling.std[c]);
  }
  forward_fused(x.data(), weight, y, shape, epilogue, stream);
}

}  // namespace

template <>
const Conv2d<double>& conv2d<double>(Device device) {
  check(device == Device::cpu, "conv2d: the double reference runs on the cpu only, not on {}",
        name_of(device));
  static constexpr Conv2d<double> table{forward, backward_data, backward_weights, forward_fused,
                                        forward_pixels};
  return table;
}

}  // namespace mt
