// Scale and add on cuda and simt. Math: skeleton.md. First the naive version, then the fast one.

#include "kernels/_skeleton/skeleton.h"
#include "kernels/common/tables.h"
#include "kernels/device/kernel.h"

namespace mt::MT_BACKEND {
namespace {

constexpr int kThreads = 128;

// ---- 1. Naive: one thread per element

__global__ void skeleton_forward_naive(const float* x, float* y, int64_t n, float a, float b) {  // x, y: (n)
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < n) y[i] = a * x[i] + b;
}

__global__ void skeleton_backward_naive(const float* dy, float* dx, int64_t n, float a) {  // dy, dx: (n)
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < n) dx[i] = a * dy[i];
}

void forward_naive(const float* x, float* y, int64_t n, float a, float b, Stream stream) {
  if (n == 0) return;
  launch<skeleton_forward_naive>(blocks_for(n, kThreads), kThreads, 0, stream, x, y, n, a, b);
}

void backward_naive(const float* dy, float* dx, int64_t n, float a, Stream stream) {
  if (n == 0) return;
  launch<skeleton_backward_naive>(blocks_for(n, kThreads), kThreads, 0, stream, dy, dx, n, a);
}

// ---- 2. Fast: four neighbouring elements per thread, in one 16-byte access where all four are there

/// out[i] = a * in[i] + b. Both pointers are multiples of 16 bytes, or `vectors` is false.
__global__ void skeleton_scale_add(const float* in, float* out, int64_t n, float a, float b, bool vectors) {
  const int64_t i = 4 * (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x);
  if (vectors && i + 4 <= n) {
    const float4 v = simt::load_vector<float4>(in + i);
    simt::store_vector(out + i, float4{a * v.x + b, a * v.y + b, a * v.z + b, a * v.w + b});
  } else {
    for (int64_t k = i; k < n && k < i + 4; ++k) out[k] = a * in[k] + b;
  }
}

void scale_add(const float* in, float* out, int64_t n, float a, float b, Stream stream) {
  if (n == 0) return;
  const auto aligned = [](const void* p) {
    return reinterpret_cast<std::uintptr_t>(p) % sizeof(float4) == 0;
  };
  launch<skeleton_scale_add>(blocks_for(n, 4 * kThreads), kThreads, 0, stream, in, out, n, a, b,
                             aligned(in) && aligned(out));
}

void forward(const float* x, float* y, int64_t n, float a, float b, Stream stream) {
  scale_add(x, y, n, a, b, stream);
}

// Adding -0 changes no float, not even -0.
void backward(const float* dy, float* dx, int64_t n, float a, Stream stream) {
  scale_add(dy, dx, n, a, -0.0F, stream);
}

constexpr Skeleton<float> kFast{forward, backward};
constexpr Skeleton<float> kNaive{forward_naive, backward_naive};

}  // namespace

void register_skeleton() {
  register_table(kDevice, kFast);
  register_table(kDevice, kNaive, "naive");
}

}  // namespace mt::MT_BACKEND
