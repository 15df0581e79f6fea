#include "bench/gpu/dense_supcon.h"

#include "kernels/common/warp.cuh"
#include "kernels/device/kernel.h"

namespace mt::MT_BACKEND {
namespace {

constexpr int kThreads = 256;

struct Max {
  static __device__ float merged(float a, float b) { return fmaxf(a, b); }
};

/// One block for each row of the matrix.
__global__ void dense_supcon_forward(const float* products, const int32_t* labels, int64_t rows,
                                     float inverse_temperature, float* lse, float* positive_sum,
                                     int32_t* positive_count) {
  const int64_t i = blockIdx.x;
  const float* row = products + i * rows;
  float largest = -INFINITY;
  float positives = 0;
  int count = 0;
  for (int64_t j = threadIdx.x; j < rows; j += kThreads) {
    if (j == i) continue;
    const float s = row[j] * inverse_temperature;
    largest = fmaxf(largest, s);
    positives += labels[j] == labels[i] ? s : 0.0F;
    count += labels[j] == labels[i] ? 1 : 0;
  }
  largest = block_reduce<Max, kThreads>(largest);
  float sum = 0;
  for (int64_t j = threadIdx.x; j < rows; j += kThreads) {
    if (j != i) sum += expf(row[j] * inverse_temperature - largest);
  }
  sum = block_sum<kThreads>(sum);
  positives = block_sum<kThreads>(positives);
  count = block_sum<kThreads>(count);
  if (threadIdx.x == 0) {
    lse[i] = largest + logf(sum);
    positive_sum[i] = positives;
    positive_count[i] = count;
  }
}

/// d (mean over anchors of loss_i) / d s_ij, for one anchor i.
__device__ float pull(float s, float lse, int32_t count, bool positive, float weight) {
  return count == 0 ? 0.0F : weight * (expf(s - lse) - (positive ? 1.0F / static_cast<float>(count) : 0.0F));
}

__global__ void dense_supcon_gradient(const float* products, const int32_t* labels, const float* lse,
                                      const int32_t* positive_count, int64_t rows, float inverse_temperature,
                                      float* gradient) {
  const int64_t i = blockIdx.x;
  const float weight = 1.0F / static_cast<float>(rows);
  for (int64_t j = threadIdx.x; j < rows; j += kThreads) {
    const float s = products[i * rows + j] * inverse_temperature;
    const bool positive = labels[i] == labels[j];
    const float both = pull(s, lse[i], positive_count[i], positive, weight) +
                       pull(s, lse[j], positive_count[j], positive, weight);
    gradient[i * rows + j] = i == j ? 0.0F : both * inverse_temperature;
  }
}

void forward(const float* products, const int32_t* labels, int64_t rows, float temperature, float* lse,
             float* positive_sum, int32_t* positive_count, Stream stream) {
  launch<dense_supcon_forward>(rows, kThreads, 0, stream, products, labels, rows, 1 / temperature, lse,
                               positive_sum, positive_count);
}

void pair_gradient(const float* products, const int32_t* labels, const float* lse,
                   const int32_t* positive_count, int64_t rows, float temperature, float* gradient,
                   Stream stream) {
  launch<dense_supcon_gradient>(rows, kThreads, 0, stream, products, labels, lse, positive_count, rows,
                                1 / temperature, gradient);
}

}  // namespace

extern const bench::DenseSupCon kDenseSupCon{forward, pair_gradient};

}  // namespace mt::MT_BACKEND
