// Binary cross-entropy with logits on cuda and simt. Math and error bounds: bce.md. First the naive version,
// then the fast one.

#include "kernels/bce/bce.h"
#include "kernels/common/device_array.cuh"
#include "kernels/common/tables.h"
#include "kernels/common/vectors.cuh"
#include "kernels/common/warp.cuh"
#include "kernels/device/kernel.h"

namespace mt::MT_BACKEND {
namespace {

// With e = exp(−|x|) nothing overflows, whatever the logit x. fmaxf drops a NaN, and an infinity would make a
// loss of its own: x − x brings NaN back for both and is 0 otherwise. Fused multiply-adds are spelled out, so
// that every kernel that inlines these functions gets the same bits.

__device__ float loss_of(float x, float y, float pos_weight) {
  const float l = log1pf(expf(-fabsf(x)));
  const float of_positive = fmaxf(-x, 0.0F) + l;  // log(1 + e^-x)
  const float of_negative = fmaxf(x, 0.0F) + l;   // log(1 + e^x)
  return fmaf(1 - y, of_negative, pos_weight * y * of_positive) + (x - x);
}

/// The derivative of loss_of to x.
__device__ float slope_of(float x, float y, float pos_weight) {
  const float e = expf(-fabsf(x));
  const float large = 1 / (1 + e);
  const float small = e / (1 + e);
  const float sigmoid = x >= 0 ? large : small;
  const float sigmoid_of_minus = x >= 0 ? small : large;
  return fmaf(1 - y, sigmoid, -(pos_weight * y * sigmoid_of_minus)) + (x - x);
}

// ---- 1. Naive: one thread per element, one thread for the mean

constexpr int kThreads = 128;

__global__ void bce_forward_naive(const float* logits, const float* targets, float pos_weight, float* losses,
                                  int64_t n) {  // all: (n)
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < n) losses[i] = loss_of(logits[i], targets[i], pos_weight);
}

__global__ void bce_backward_naive(const float* logits, const float* targets, float pos_weight,
                                   const float* dlosses, float* dlogits, int64_t n) {  // all: (n)
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < n) dlogits[i] = dlosses[i] * slope_of(logits[i], targets[i], pos_weight);
}

/// The upstream gradient of each loss of a mean; 1 while dloss is not known.
__device__ float share_of(const float* dloss, int64_t n) {
  return dloss == nullptr ? 1.0F : *dloss / static_cast<float>(n);
}

/// dlogits: (n) or null
__global__ void bce_mean_naive(const float* logits, const float* targets, float pos_weight,
                               const float* dloss, float* loss, float* dlogits, int64_t n) {
  const float upstream = share_of(dloss, n);
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) {
    const float x = logits[i];
    sum += static_cast<double>(loss_of(x, targets[i], pos_weight));
    if (dlogits != nullptr) dlogits[i] = upstream * slope_of(x, targets[i], pos_weight);
  }
  *loss = static_cast<float>(sum / static_cast<double>(n));
}

__global__ void bce_mean_backward_naive(const float* logits, const float* targets, float pos_weight,
                                        const float* dloss, float* dlogits, int64_t n) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < n) dlogits[i] = share_of(dloss, n) * slope_of(logits[i], targets[i], pos_weight);
}

__global__ void bce_mean_slopes_backward_naive(const float* slopes, const float* dloss, float* dlogits,
                                               int64_t n) {  // slopes, dlogits: (n)
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < n) dlogits[i] = share_of(dloss, n) * slopes[i];
}

void forward_naive(const float* logits, const float* targets, double pos_weight, float* losses, int64_t n,
                   Stream stream) {
  if (n == 0) return;
  launch<bce_forward_naive>(blocks_for(n, kThreads), kThreads, 0, stream, logits, targets,
                            static_cast<float>(pos_weight), losses, n);
}

void backward_naive(const float* logits, const float* targets, double pos_weight, const float* dlosses,
                    float* dlogits, int64_t n, Stream stream) {
  if (n == 0) return;
  launch<bce_backward_naive>(blocks_for(n, kThreads), kThreads, 0, stream, logits, targets,
                             static_cast<float>(pos_weight), dlosses, dlogits, n);
}

void require_elements(int64_t n) {
  if (n < 1) fail_kernel("bce: the mean of no elements");
}

void mean_with_gradient_naive(const float* logits, const float* targets, double pos_weight,
                              const float* dloss, float* loss, float* dlogits, int64_t n, Stream stream) {
  require_elements(n);
  launch<bce_mean_naive>(1, 1, 0, stream, logits, targets, static_cast<float>(pos_weight), dloss, loss,
                         dlogits, n);
}

void mean_forward_naive(const float* logits, const float* targets, double pos_weight, float* loss, int64_t n,
                        Stream stream) {
  mean_with_gradient_naive(logits, targets, pos_weight, nullptr, loss, nullptr, n, stream);
}

void mean_backward_naive(const float* logits, const float* targets, double pos_weight, const float* dloss,
                         float* dlogits, int64_t n, Stream stream) {
  if (n == 0) return;
  launch<bce_mean_backward_naive>(blocks_for(n, kThreads), kThreads, 0, stream, logits, targets,
                                  static_cast<float>(pos_weight), dloss, dlogits, n);
}

void mean_slopes_backward_naive(const float* slopes, const float* dloss, float* dlogits, int64_t n,
                                Stream stream) {
  if (n == 0) return;
  launch<bce_mean_slopes_backward_naive>(blocks_for(n, kThreads), kThreads, 0, stream, slopes, dloss, dlogits,
                                         n);
}

// ---- 2. Fast: four elements per thread in 16-byte accesses

constexpr int kPerThread = 4;

__device__ float4 losses_of(const float4& x, const float4& y, float pos_weight) {
  return {loss_of(x.x, y.x, pos_weight), loss_of(x.y, y.y, pos_weight), loss_of(x.z, y.z, pos_weight),
          loss_of(x.w, y.w, pos_weight)};
}

/// g · slope
__device__ float4 slopes_of(const float4& x, const float4& y, float pos_weight, const float4& g) {
  return {g.x * slope_of(x.x, y.x, pos_weight), g.y * slope_of(x.y, y.y, pos_weight),
          g.z * slope_of(x.z, y.z, pos_weight), g.w * slope_of(x.w, y.w, pos_weight)};
}

__global__ void bce_forward(const float* logits, const float* targets, float pos_weight, float* losses,
                            int64_t n, bool vectors) {  // all: (n)
  const int64_t i = kPerThread * (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x);
  const float4 x = load_four(logits, i, n, vectors);
  const float4 y = load_four(targets, i, n, vectors);
  store_four(losses, i, n, vectors, losses_of(x, y, pos_weight));
}

/// Upstream gradients: dlosses (n), or where that is null *dloss / n for all.
__global__ void bce_backward(const float* logits, const float* targets, float pos_weight,
                             const float* dlosses, const float* dloss, float* dlogits, int64_t n,
                             bool vectors) {
  const int64_t i = kPerThread * (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x);
  float4 g;
  if (dlosses != nullptr) {
    g = load_four(dlosses, i, n, vectors);
  } else {
    const float common = share_of(dloss, n);
    g = {common, common, common, common};
  }
  const float4 x = load_four(logits, i, n, vectors);
  const float4 y = load_four(targets, i, n, vectors);
  store_four(dlogits, i, n, vectors, slopes_of(x, y, pos_weight, g));
}

__global__ void bce_mean_slopes_backward(const float* slopes, const float* dloss, float* dlogits, int64_t n,
                                         bool vectors) {  // slopes, dlogits: (n)
  const int64_t i = kPerThread * (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x);
  const float common = share_of(dloss, n);
  const float4 s = load_four(slopes, i, n, vectors);
  store_four(dlogits, i, n, vectors, {common * s.x, common * s.y, common * s.z, common * s.w});
}

// ---- 3. Fast mean: each block sums its chunk, one block adds the chunks
// The split depends on n alone; sums go on in double behind each thread's own few elements.

constexpr int64_t kChunk = int64_t{kThreads} * kPerThread * 4;

/// sums: (gridDim.x). A single block writes the mean itself: a bag's loss is one launch, and with dlogits
/// (n), which may be null, its gradient too.
__global__ void bce_sums(const float* logits, const float* targets, float pos_weight, const float* dloss,
                         double* sums, float* loss, float* dlogits, int64_t n, bool vectors) {
  const float common = share_of(dloss, n);
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * kChunk;
  float mine = 0;
#pragma unroll
  for (int64_t k = 0; k < kChunk; k += kThreads * kPerThread) {
    const int64_t i = begin + k + kPerThread * threadIdx.x;
    const float4 x = load_four(logits, i, n, vectors);
    const float4 y = load_four(targets, i, n, vectors);
    const float4 l = losses_of(x, y, pos_weight);
    mine += (i < n ? l.x : 0) + (i + 1 < n ? l.y : 0) + ((i + 2 < n ? l.z : 0) + (i + 3 < n ? l.w : 0));
    if (dlogits != nullptr) {
      store_four(dlogits, i, n, vectors, slopes_of(x, y, pos_weight, {common, common, common, common}));
    }
  }
  const double sum = block_sum<kThreads>(static_cast<double>(mine));
  if (threadIdx.x == 0) {
    if (gridDim.x == 1) {
      *loss = static_cast<float>(sum / static_cast<double>(n));
    } else {
      sums[blockIdx.x] = sum;
    }
  }
}

__global__ void bce_mean_of_sums(const double* sums, int64_t count, float* loss, int64_t n) {  // (count)
  double mine = 0;
  for (int64_t i = threadIdx.x; i < count; i += kThreads) mine += sums[i];
  const double sum = block_sum<kThreads>(mine);
  if (threadIdx.x == 0) *loss = static_cast<float>(sum / static_cast<double>(n));
}

void forward(const float* logits, const float* targets, double pos_weight, float* losses, int64_t n,
             Stream stream) {
  if (n == 0) return;
  launch<bce_forward>(blocks_for(n, kThreads * kPerThread), kThreads, 0, stream, logits, targets,
                      static_cast<float>(pos_weight), losses, n, aligned_to_vectors(logits, targets, losses));
}

void backward(const float* logits, const float* targets, double pos_weight, const float* dlosses,
              float* dlogits, int64_t n, Stream stream) {
  if (n == 0) return;
  launch<bce_backward>(blocks_for(n, kThreads * kPerThread), kThreads, 0, stream, logits, targets,
                       static_cast<float>(pos_weight), dlosses, static_cast<const float*>(nullptr), dlogits,
                       n, aligned_to_vectors(logits, targets, dlosses, dlogits));
}

void mean_with_gradient(const float* logits, const float* targets, double pos_weight, const float* dloss,
                        float* loss, float* dlogits, int64_t n, Stream stream) {
  require_elements(n);
  const int64_t blocks = blocks_for(n, kChunk);
  const DeviceArray<double> sums(blocks == 1 ? 0 : blocks);
  launch<bce_sums>(blocks, kThreads, 0, stream, logits, targets, static_cast<float>(pos_weight), dloss,
                   sums.data(), loss, dlogits, n, aligned_to_vectors(logits, targets, dlogits));
  if (blocks > 1) {
    launch<bce_mean_of_sums>(1, kThreads, 0, stream, static_cast<const double*>(sums.data()), blocks, loss,
                             n);
  }
}

void mean_forward(const float* logits, const float* targets, double pos_weight, float* loss, int64_t n,
                  Stream stream) {
  mean_with_gradient(logits, targets, pos_weight, nullptr, loss, nullptr, n, stream);
}

void mean_backward(const float* logits, const float* targets, double pos_weight, const float* dloss,
                   float* dlogits, int64_t n, Stream stream) {
  if (n == 0) return;
  launch<bce_backward>(blocks_for(n, kThreads * kPerThread), kThreads, 0, stream, logits, targets,
                       static_cast<float>(pos_weight), static_cast<const float*>(nullptr), dloss, dlogits, n,
                       aligned_to_vectors(logits, targets, dlogits));
}

void mean_slopes_backward(const float* slopes, const float* dloss, float* dlogits, int64_t n, Stream stream) {
  if (n == 0) return;
  launch<bce_mean_slopes_backward>(blocks_for(n, kThreads * kPerThread), kThreads, 0, stream, slopes, dloss,
                                   dlogits, n, aligned_to_vectors(slopes, dlogits));
}

constexpr Bce<float> kFast{forward,       backward,           mean_forward,
                           mean_backward, mean_with_gradient, mean_slopes_backward};
constexpr Bce<float> kNaive{forward_naive,       backward_naive,           mean_forward_naive,
                            mean_backward_naive, mean_with_gradient_naive, mean_slopes_backward_naive};

}  // namespace

void register_bce() {
  register_table(kDevice, kFast);
  register_table(kDevice, kNaive, "naive");
}

}  // namespace mt::MT_BACKEND
