// Optimizer steps over a flat arena, and the gradient's norm, on cuda and simt. Formulas: optimizer.md. First
// the naive version, then the fast one.

#include "kernels/optimizer/optimizer.h"

#include <cfloat>
#include <cmath>

#include "kernels/common/device_array.cuh"
#include "kernels/common/ordered_sum.cuh"
#include "kernels/common/report.cuh"
#include "kernels/common/tables.h"
#include "kernels/common/vectors.cuh"
#include "kernels/device/kernel.h"
#include "kernels/optimizer/factors.h"

namespace mt::MT_BACKEND {
namespace {

constexpr int kThreads = 128;

// ---- The formulas for one element

/// v is not read where keep_velocity is false.
__device__ void sgd_with_momentum(float& p, float gradient, float& v, const SgdFactors& f) {
  const float g = fmaf(f.gradient_scale, gradient, f.weight_decay * p);
  v = f.keep_velocity ? fmaf(f.momentum, v, f.intake * g) : f.intake * g;
  p = fmaf(-f.learning_rate, f.nesterov ? fmaf(f.momentum, v, g) : v, p);
}

__device__ void sgd_plain(float& p, float gradient, const SgdFactors& f) {
  p = fmaf(-f.learning_rate, fmaf(f.gradient_scale, gradient, f.weight_decay * p), p);
}

/// largest: null without amsgrad.
__device__ void adam_element(float& p, float gradient, float& m, float& v, float* largest,
                             const AdamFactors& f) {
  const float g = fmaf(f.gradient_scale, gradient, f.added_decay * p);
  m = fmaf(f.beta1, m, f.one_minus_beta1 * g);
  v = fmaf(f.beta2, v, f.one_minus_beta2 * (g * g));
  float spread = v;
  if (largest != nullptr) {
    spread = v < *largest ? *largest : v;  // NaN stays
    *largest = spread;
  }
  p = fmaf(-f.step_size, m / fmaf(sqrtf(spread), f.spread_scale, f.epsilon), f.shrink * p);
}

// ---- 1. Naive: one element per thread. All arrays: (n)

__global__ void sgd_naive(float* parameters, const float* gradients, float* velocity, int64_t n,
                          SgdFactors f) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < n) {
    if (velocity != nullptr) {
      sgd_with_momentum(parameters[i], gradients[i], velocity[i], f);
    } else {
      sgd_plain(parameters[i], gradients[i], f);
    }
  }
}

__global__ void adam_naive(float* parameters, const float* gradients, float* first, float* second,
                           float* largest, int64_t n, AdamFactors f) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < n) {
    adam_element(parameters[i], gradients[i], first[i], second[i], largest == nullptr ? nullptr : largest + i,
                 f);
  }
}

/// One thread.
__global__ void norm_naive(const float* gradients, double* total, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum = SquareTerm::added(sum, gradients[i]);
  *total = sum;
}

/// One thread.
__global__ void check_finite(const double* value, FailureWord finite) {
  if (!(fabs(*value) <= DBL_MAX)) report(finite, 0);
}

// ---- 2. Fast: four neighbours per thread, in 16-byte accesses
// The arena makes one launch of what would be one per tensor.

__global__ void sgd_plain_vectors(float* parameters, const float* gradients, int64_t n, SgdFactors f,
                                  bool vectors) {
  const int64_t i = 4 * (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x);
  float4 p = load_four(parameters, i, n, vectors);
  const float4 g = load_four(gradients, i, n, vectors);
  sgd_plain(p.x, g.x, f);
  sgd_plain(p.y, g.y, f);
  sgd_plain(p.z, g.z, f);
  sgd_plain(p.w, g.w, f);
  store_four(parameters, i, n, vectors, p);
}

__global__ void sgd_momentum_vectors(float* parameters, const float* gradients, float* velocity, int64_t n,
                                     SgdFactors f, bool vectors) {
  const int64_t i = 4 * (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x);
  float4 p = load_four(parameters, i, n, vectors);
  const float4 g = load_four(gradients, i, n, vectors);
  float4 v{0, 0, 0, 0};
  if (f.keep_velocity) v = load_four(velocity, i, n, vectors);
  sgd_with_momentum(p.x, g.x, v.x, f);
  sgd_with_momentum(p.y, g.y, v.y, f);
  sgd_with_momentum(p.z, g.z, v.z, f);
  sgd_with_momentum(p.w, g.w, v.w, f);
  store_four(velocity, i, n, vectors, v);
  store_four(parameters, i, n, vectors, p);
}

template <bool kAmsgrad>
__global__ void adam_vectors(float* parameters, const float* gradients, float* first, float* second,
                             float* largest, int64_t n, AdamFactors f, bool vectors) {
  const int64_t i = 4 * (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x);
  float4 p = load_four(parameters, i, n, vectors);
  const float4 g = load_four(gradients, i, n, vectors);
  float4 m = load_four(first, i, n, vectors);
  float4 v = load_four(second, i, n, vectors);
  float4 most{0, 0, 0, 0};
  if constexpr (kAmsgrad) most = load_four(largest, i, n, vectors);
  adam_element(p.x, g.x, m.x, v.x, kAmsgrad ? &most.x : nullptr, f);
  adam_element(p.y, g.y, m.y, v.y, kAmsgrad ? &most.y : nullptr, f);
  adam_element(p.z, g.z, m.z, v.z, kAmsgrad ? &most.z : nullptr, f);
  adam_element(p.w, g.w, m.w, v.w, kAmsgrad ? &most.w : nullptr, f);
  store_four(first, i, n, vectors, m);
  store_four(second, i, n, vectors, v);
  if constexpr (kAmsgrad) store_four(largest, i, n, vectors, most);
  store_four(parameters, i, n, vectors, p);
}

// ---- Host

void require(const char* error) {
  if (error != nullptr) fail_kernel(error);
}

template <bool kNaive>
void sgd(float* parameters, const float* gradients, float* velocity, int64_t n, int64_t step,
         double gradient_scale, const SgdRule& rule, Stream stream) {
  require(error_in(rule, velocity != nullptr));
  if (n == 0) return;
  const SgdFactors f = factors_at(rule, step, gradient_scale);
  float* state = rule.momentum == 0 ? nullptr : velocity;
  const bool vectors = aligned_to_vectors(parameters, gradients, state);
  if constexpr (kNaive) {
    launch<sgd_naive>(blocks_for(n, kThreads), kThreads, 0, stream, parameters, gradients, state, n, f);
  } else if (state == nullptr) {
    launch<sgd_plain_vectors>(blocks_for(n, 4 * kThreads), kThreads, 0, stream, parameters, gradients, n, f,
                              vectors);
  } else {
    launch<sgd_momentum_vectors>(blocks_for(n, 4 * kThreads), kThreads, 0, stream, parameters, gradients,
                                 state, n, f, vectors);
  }
}

template <bool kNaive>
void adam(float* parameters, const float* gradients, float* first_moment, float* second_moment,
          float* largest_second_moment, int64_t n, int64_t step, double gradient_scale, const AdamRule& rule,
          Stream stream) {
  require(error_in(rule, largest_second_moment != nullptr));
  if (n == 0) return;
  const AdamFactors f = factors_at(rule, step, gradient_scale);
  float* largest = rule.amsgrad ? largest_second_moment : nullptr;
  const bool vectors = aligned_to_vectors(parameters, gradients, first_moment, second_moment, largest);
  const int64_t blocks = blocks_for(n, 4 * kThreads);
  if constexpr (kNaive) {
    launch<adam_naive>(blocks_for(n, kThreads), kThreads, 0, stream, parameters, gradients, first_moment,
                       second_moment, largest, n, f);
  } else if (rule.amsgrad) {
    launch<adam_vectors<true>>(blocks, kThreads, 0, stream, parameters, gradients, first_moment,
                               second_moment, largest, n, f, vectors);
  } else {
    launch<adam_vectors<false>>(blocks, kThreads, 0, stream, parameters, gradients, first_moment,
                                second_moment, largest, n, f, vectors);
  }
}

/// total: (1) on the device.
template <bool kNaive>
void sum_squares(const float* gradients, double* total, int64_t n, Stream stream) {
  if constexpr (kNaive) {
    launch<norm_naive>(1, 1, 0, stream, gradients, total, n);
  } else {
    ordered_sums<SquareTerm, double>(gradients, total, 1, n, stream);
  }
}

template <bool kNaive>
void require_finite(const float* gradients, int64_t n, const std::string& error, Stream stream) {
  const DeviceArray<double> total(1);
  const QueuedCheck finite(kDevice, stream, [=](int64_t) { return error; });
  sum_squares<kNaive>(gradients, total.data(), n, stream);
  launch<check_finite>(1, 1, 0, stream, static_cast<const double*>(total.data()), finite.word());
  finite.queued();
}

constexpr Optimizer<float> kFast{sgd<false>, adam<false>, require_finite<false>};
constexpr Optimizer<float> kNaive{sgd<true>, adam<true>, require_finite<true>};

}  // namespace

void register_optimizer() {
  register_table(kDevice, kFast);
  register_table(kDevice, kNaive, "naive");
}

}  // namespace mt::MT_BACKEND
