// Convolution on cuda and simt: the naive version, and the choice among the fast ones. How those compute:
// convolve.cuh. Math and error bounds: conv2d.md.

#include "kernels/common/device_array.cuh"
#include "kernels/common/tables.h"
#include "kernels/conv2d/conv2d_versions.cuh"
#include "kernels/copy/copy_cast.cuh"
#include "kernels/gemm/gemm_versions.cuh"

namespace mt::MT_BACKEND {
namespace {

// ---- 1. Naive: one thread per output, the formula of conv2d.h

constexpr int kNaiveThreads = 64;

__device__ int64_t naive_index() {
  return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}

/// x (N,H,W,C) as it lies in memory.
struct Floats {
  const float* x;
  __device__ float at(int64_t pixel, int64_t channel, int64_t channels) const {
    return x[pixel * channels + channel];
  }
};
/// 8-bit pixels (N,H,W,3), of which a table (3,256) makes numbers.
struct ScaledBytes {
  const uint8_t* pixels;
  const float* table;
  bool swap_red_blue;
  __device__ float at(int64_t pixel, int64_t channel, int64_t channels) const {
    const int64_t byte = swap_red_blue ? channels - 1 - channel : channel;
    return table[channel * 256 + pixels[pixel * channels + byte]];
  }
};

template <typename Images>
__device__ float naive_sum(const Images& images, const float* weight, const Conv2dShape& d, int64_t n,
                           int64_t p, int64_t q, int64_t k) {
  float sum = 0;
  for (int64_t r = 0; r < d.r; ++r) {
    const int64_t h = p * d.stride + r - d.padding;
    for (int64_t s = 0; s < d.s; ++s) {
      const int64_t w = q * d.stride + s - d.padding;
      if (h < 0 || h >= d.h || w < 0 || w >= d.w) continue;
      for (int64_t c = 0; c < d.c; ++c)
        sum += images.at((n * d.h + h) * d.w + w, c, d.c) * weight[((k * d.r + r) * d.s + s) * d.c + c];
    }
  }
  return sum;
}

__global__ void forward_naive(const float* x, const float* weight, float* y, Conv2dShape d, int64_t out_h,
                              int64_t out_w) {
  const int64_t i = naive_index();
  if (i >= d.n * out_h * out_w * d.k) return;
  y[i] = naive_sum(Floats{x}, weight, d, i / d.k / out_w / out_h, i / d.k / out_w % out_h, i / d.k % out_w,
                   i % d.k);
}

/// One thread per image and channel: it meets all that the channel's sums are made of.
template <typename Images>
__global__ void forward_fused_naive(Images images, const float* weight, float* y, Conv2dShape d,
                                    Conv2dEpilogue<float> epilogue, int64_t out_h, int64_t out_w) {
  const int64_t thread = naive_index();
  if (thread >= d.n * d.k) return;
  const int64_t n = thread / d.k;
  const int64_t k = thread % d.k;
  double sum = 0;
  double square_sum = 0;
  for (int64_t p = 0; p < out_h; ++p) {
    for (int64_t q = 0; q < out_w; ++q) {
      const int64_t i = ((n * out_h + p) * out_w + q) * d.k + k;
      float v = naive_sum(images, weight, d, n, p, q, k);
      if (epilogue.bias != nullptr) v += epilogue.bias[k];
      if (epilogue.residual != nullptr) v += epilogue.residual[i];
      sum += static_cast<double>(v);
      square_sum += static_cast<double>(v) * static_cast<double>(v);
      y[i] = epilogue.relu && v < 0 ? 0 : v;
    }
  }
  if (epilogue.sums != nullptr) epilogue.sums[thread] = static_cast<float>(sum);
  if (epilogue.square_sums != nullptr) epilogue.square_sums[thread] = static_cast<float>(square_sum);
}

__global__ void backward_data_naive(const float* dy, const float* weight, float* dx, Conv2dShape d,
                                    int64_t out_h, int64_t out_w) {
  const int64_t i = naive_index();
  if (i >= d.n * d.h * d.w * d.c) return;
  const int64_t c = i % d.c;
  const int64_t w = i / d.c % d.w;
  const int64_t h = i / d.c / d.w % d.h;
  const int64_t n = i / d.c / d.w / d.h;
  float sum = 0;
  for (int64_t r = 0; r < d.r; ++r) {
    const int64_t row = h + d.padding - r;  // p stride
    for (int64_t s = 0; s < d.s; ++s) {
      const int64_t column = w + d.padding - s;  // q stride
      if (row < 0 || column < 0 || row % d.stride != 0 || column % d.stride != 0) continue;
      const int64_t p = row / d.stride;
      const int64_t q = column / d.stride;
      if (p >= out_h || q >= out_w) continue;
      for (int64_t k = 0; k < d.k; ++k)
        sum += dy[((n * out_h + p) * out_w + q) * d.k + k] * weight[((k * d.r + r) * d.s + s) * d.c + c];
    }
  }
  dx[i] = sum;
}

__global__ void backward_weights_naive(const float* x, const float* dy, float* dw, Conv2dShape d,
                                       int64_t out_h, int64_t out_w) {
  const int64_t i = naive_index();
  if (i >= d.k * d.r * d.s * d.c) return;
  const int64_t c = i % d.c;
  const int64_t s = i / d.c % d.s;
  const int64_t r = i / d.c / d.s % d.r;
  const int64_t k = i / d.c / d.s / d.r;
  float sum = 0;
  for (int64_t shard = 0; shard < d.n; shard += kConv2dShardImages) {
    const int64_t end = shard + kConv2dShardImages < d.n ? shard + kConv2dShardImages : d.n;
    float part = 0;
    for (int64_t n = shard; n < end; ++n) {
      for (int64_t p = 0; p < out_h; ++p) {
        const int64_t h = p * d.stride + r - d.padding;
        for (int64_t q = 0; q < out_w; ++q) {
          const int64_t w = q * d.stride + s - d.padding;
          if (h >= 0 && h < d.h && w >= 0 && w < d.w)
            part += dy[((n * out_h + p) * out_w + q) * d.k + k] * x[((n * d.h + h) * d.w + w) * d.c + c];
        }
      }
    }
    sum += part;
  }
  dw[i] = sum;
}

/// kKernel(in, other, out, …) with one thread for each of the out's elements.
template <auto kKernel>
void launch_naive(const float* in, const float* other, float* out, int64_t outputs, const Conv2dShape& d,
                  Stream stream) {
  if (outputs == 0) return;
  launch<kKernel>(blocks_for(outputs, kNaiveThreads), kNaiveThreads, 0, stream, in, other, out, d, d.out_h(),
                  d.out_w());
}

void forward_one_by_one(const float* x, const float* weight, float* y, const Conv2dShape& d, Stream stream) {
  check_conv2d_shape(d);
  launch_naive<forward_naive>(x, weight, y, d.n * d.out_h() * d.out_w() * d.k, d, stream);
}
template <typename Images>
void launch_fused_naive(const Images& images, const float* weight, float* y, const Conv2dShape& d,
                        const Conv2dEpilogue<float>& epilogue, Stream stream) {
  if (d.n * d.k == 0) return;
  launch<forward_fused_naive<Images>>(blocks_for(d.n * d.k, kNaiveThreads), kNaiveThreads, 0, stream, images,
                                      weight, y, d, epilogue, d.out_h(), d.out_w());
}
void forward_fused_one_by_one(const float* x, const float* weight, float* y, const Conv2dShape& d,
                              const Conv2dEpilogue<float>& epilogue, Stream stream) {
  check_conv2d_shape(d);
  launch_fused_naive(Floats{x}, weight, y, d, epilogue, stream);
}
void forward_pixels_one_by_one(const uint8_t* pixels, const ImageScaling& scaling, const float* weight,
                               float* y, const Conv2dShape& d, const Conv2dEpilogue<float>& epilogue,
                               Stream stream) {
  check_conv2d_pixels(d);
  const DeviceArray<float> table(kImageTableSize);
  fill_image_table(table.data(), scaling, stream);
  launch_fused_naive(ScaledBytes{pixels, table.data(), scaling.swap_red_blue}, weight, y, d, epilogue,
                     stream);
}
void backward_data_one_by_one(const float* dy, const float* weight, float* dx, const Conv2dShape& d,
                              Stream stream) {
  check_conv2d_shape(d);
  launch_naive<backward_data_naive>(dy, weight, dx, d.n * d.h * d.w * d.c, d, stream);
}
void backward_weights_one_by_one(const float* x, const float* dy, float* dw, const Conv2dShape& d,
                                 Stream stream) {
  check_conv2d_shape(d);
  launch_naive<backward_weights_naive>(x, dy, dw, d.k * d.r * d.s * d.c, d, stream);
}

// ---- 2. The front door: kernels/gemm/product_choice.h

/// The version for sums of `terms` products.
const Conv2d<float>& fast(int64_t terms) {
  const Conv2d<float>* const versions[] = {&kConv2dFp32, &kConv2dTf32, &kConv2dTf32x3, &kConv2dBf16};
  return *versions[static_cast<int>(version_for(terms))];
}
void forward(const float* x, const float* weight, float* y, const Conv2dShape& d, Stream stream) {
  fast(d.r * d.s * d.c).forward(x, weight, y, d, stream);
}
void forward_fused(const float* x, const float* weight, float* y, const Conv2dShape& d,
                   const Conv2dEpilogue<float>& epilogue, Stream stream) {
  fast(d.r * d.s * d.c).forward_fused(x, weight, y, d, epilogue, stream);
}
void forward_pixels(const uint8_t* pixels, const ImageScaling& scaling, const float* weight, float* y,
                    const Conv2dShape& d, const Conv2dEpilogue<float>& epilogue, Stream stream) {
  fast(d.r * d.s * d.c).forward_pixels(pixels, scaling, weight, y, d, epilogue, stream);
}
void backward_data(const float* dy, const float* weight, float* dx, const Conv2dShape& d, Stream stream) {
  fast(d.r * d.s * d.k).backward_data(dy, weight, dx, d, stream);
}
void backward_weights(const float* x, const float* dy, float* dw, const Conv2dShape& d, Stream stream) {
  fast(kConv2dShardImages * d.out_h() * d.out_w()).backward_weights(x, dy, dw, d, stream);
}

constexpr Conv2d<float> kFrontDoor{forward, backward_data, backward_weights, forward_fused, forward_pixels};
constexpr Conv2d<float> kNaive{forward_one_by_one, backward_data_one_by_one, backward_weights_one_by_one,
                               forward_fused_one_by_one, forward_pixels_one_by_one};

}  // namespace

void register_conv2d() {
  register_table(kDevice, kFrontDoor);
  register_table(kDevice, kNaive, "naive");
  register_table(kDevice, kConv2dFp32, "fp32");
  register_table(kDevice, kConv2dTf32, "tf32");
  register_table(kDevice, kConv2dTf32x3, "tf32x3");
  register_table(kDevice, kConv2dBf16, "bf16");
}

}  // namespace mt::MT_BACKEND
