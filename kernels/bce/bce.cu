// Binary cross-entropy with logits on cuda and simt. Math and error bounds: bce.md. First the naive version,
// then the fast one.

#include "kernels/bce/bce.h"
#include "kernels/common/device_array.cuh"
#include "kernels/common/map.cuh"
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

/// The gradient of a logit: the upstream gradient of each loss of the mean, times its slope.
struct TimesShare {
  const float* dloss;  // (1), in device memory
  float n;
  __device__ float operator()(float slope) const { return *dloss / n * slope; }
};

void require_elements(int64_t n) {
  if (n < 1) fail_kernel("bce: the mean of no elements");
}

// ---- 1. Naive: one thread for the mean, one per element for the gradient

/// slopes: (n) or null
__global__ void bce_mean_naive(const float* logits, const float* targets, float pos_weight, float* loss,
                               float* slopes, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) {
    const float x = logits[i];
    sum += static_cast<double>(loss_of(x, targets[i], pos_weight));
    if (slopes != nullptr) slopes[i] = slope_of(x, targets[i], pos_weight);
  }
  *loss = static_cast<float>(sum / static_cast<double>(n));
}

void mean_with_slopes_naive(const float* logits, const float* targets, double pos_weight, float* loss,
                            float* slopes, int64_t n, Stream stream) {
  require_elements(n);
  launch<bce_mean_naive>(1, 1, 0, stream, logits, targets, static_cast<float>(pos_weight), loss, slopes, n);
}

void mean_forward_naive(const float* logits, const float* targets, double pos_weight, float* loss, int64_t n,
                        Stream stream) {
  mean_with_slopes_naive(logits, targets, pos_weight, loss, nullptr, n, stream);
}

void mean_slopes_backward_naive(const float* slopes, const float* dloss, float* dlogits, int64_t n,
                                Stream stream) {
  map_naive(slopes, dlogits, n, TimesShare{dloss, static_cast<float>(n)}, stream);
}

// ---- 2. Fast: four elements per thread in 16-byte accesses; each block sums its chunk, one block adds the chunks
// The split depends on n alone; sums go on in double behind each thread's own few elements.

constexpr int kThreads = 128;
constexpr int kPerThread = 4;
constexpr int64_t kChunk = int64_t{kThreads} * kPerThread * 4;

/// sums: (gridDim.x). A single block writes the mean itself: a bag's loss is one launch, and with slopes (n),
/// which may be null, what its gradient needs too.
__global__ void bce_sums(const float* logits, const float* targets, float pos_weight, double* sums,
                         float* loss, float* slopes, int64_t n, bool vectors) {
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * kChunk;
  float mine = 0;
#pragma unroll
  for (int64_t k = 0; k < kChunk; k += kThreads * kPerThread) {
    const int64_t i = begin + k + kPerThread * threadIdx.x;
    const float4 x = load_four(logits, i, n, vectors);
    const float4 y = load_four(targets, i, n, vectors);
    mine +=
        (i < n ? loss_of(x.x, y.x, pos_weight) : 0) + (i + 1 < n ? loss_of(x.y, y.y, pos_weight) : 0) +
        ((i + 2 < n ? loss_of(x.z, y.z, pos_weight) : 0) + (i + 3 < n ? loss_of(x.w, y.w, pos_weight) : 0));
    if (slopes != nullptr) {
      store_four(slopes, i, n, vectors,
                 {slope_of(x.x, y.x, pos_weight), slope_of(x.y, y.y, pos_weight),
                  slope_of(x.z, y.z, pos_weight), slope_of(x.w, y.w, pos_weight)});
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

void mean_with_slopes(const float* logits, const float* targets, double pos_weight, float* loss,
                      float* slopes, int64_t n, Stream stream) {
  require_elements(n);
  const int64_t blocks = blocks_for(n, kChunk);
  const DeviceArray<double> sums(blocks == 1 ? 0 : blocks);
  launch<bce_sums>(blocks, kThreads, 0, stream, logits, targets, static_cast<float>(pos_weight), sums.data(),
                   loss, slopes, n, aligned_to_vectors(logits, targets, slopes));
  if (blocks > 1) {
    launch<bce_mean_of_sums>(1, kThreads, 0, stream, static_cast<const double*>(sums.data()), blocks, loss,
                             n);
  }
}

void mean_forward(const float* logits, const float* targets, double pos_weight, float* loss, int64_t n,
                  Stream stream) {
  mean_with_slopes(logits, targets, pos_weight, loss, nullptr, n, stream);
}

void mean_slopes_backward(const float* slopes, const float* dloss, float* dlogits, int64_t n, Stream stream) {
  map(slopes, dlogits, n, TimesShare{dloss, static_cast<float>(n)}, stream);
}

constexpr Bce<float> kFast{mean_forward, mean_with_slopes, mean_slopes_backward};
constexpr Bce<float> kNaive{mean_forward_naive, mean_with_slopes_naive, mean_slopes_backward_naive};

}  // namespace

void register_bce() {
  register_table(kDevice, kFast);
  register_table(kDevice, kNaive, "naive");
}

}  // namespace mt::MT_BACKEND
