// Convolution on cuda and simt: the naive version, and the choice among the fast ones. How those compute:
// convolve.cuh. Math and error bounds: conv2d.md.

#include "kernels/common/tables.h"
#include "kernels/conv2d/conv2d_versions.cuh"
#include "kernels/gemm/gemm_versions.cuh"

namespace mt::MT_BACKEND {
namespace {

// ---- 1. Naive: one thread per output, the formula of conv2d.h

constexpr int kNaiveThreads = 64;

__device__ int64_t naive_index() {
  return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}

__global__ void forward_naive(const float* x, const float* weight, float* y, Conv2dShape d, int64_t out_h,
                              int64_t out_w) {
  const int64_t i = naive_index();
  if (i >= d.n * out_h * out_w * d.k) return;
  const int64_t k = i % d.k;
  const int64_t q = i / d.k % out_w;
  const int64_t p = i / d.k / out_w % out_h;
  const int64_t n = i / d.k / out_w / out_h;
  float sum = 0;
  for (int64_t r = 0; r < d.r; ++r) {
    const int64_t h = p * d.stride + r - d.padding;
    for (int64_t s = 0; s < d.s; ++s) {
      const int64_t w = q * d.stride + s - d.padding;
      if (h < 0 || h >= d.h || w < 0 || w >= d.w) continue;
      for (int64_t c = 0; c < d.c; ++c)
        sum += x[((n * d.h + h) * d.w + w) * d.c + c] * weight[((k * d.r + r) * d.s + s) * d.c + c];
    }
  }
  y[i] = sum;
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

// ---- 2. The front door
// Three tf32 products are as exact as one in float, and several times as fast.

const Conv2d<float>& fast() {
  return kDevice == Device::cuda && has_tensor_cores() ? kConv2dTf32x3 : kConv2dFp32;
}
void forward(const float* x, const float* weight, float* y, const Conv2dShape& d, Stream stream) {
  fast().forward(x, weight, y, d, stream);
}
void backward_data(const float* dy, const float* weight, float* dx, const Conv2dShape& d, Stream stream) {
  fast().backward_data(dy, weight, dx, d, stream);
}
void backward_weights(const float* x, const float* dy, float* dw, const Conv2dShape& d, Stream stream) {
  fast().backward_weights(x, dy, dw, d, stream);
}

constexpr Conv2d<float> kFrontDoor{forward, backward_data, backward_weights};
constexpr Conv2d<float> kNaive{forward_one_by_one, backward_data_one_by_one, backward_weights_one_by_one};

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
