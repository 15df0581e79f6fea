// Gated attention pooling on cuda and simt. Math and error bounds: gated_attention.md. First the naive
// version, then the fast one.

#include "kernels/gated_attention/gated_attention.h"

#include <string>

#include "kernels/common/attention.cuh"
#include "kernels/common/tables.h"

namespace mt::MT_BACKEND {
namespace {

void check_shape(const GatedAttentionShape& s) {
  if (s.instances < 1) fail_kernel("gated_attention: the bag is empty");
  if (s.gate_width < 1 || s.width < 1) {
    fail_kernel("gated_attention: gate width " + std::to_string(s.gate_width) + " and width " +
                std::to_string(s.width) + " must be at least 1");
  }
}

/// Both gates of one pre-activation pair. Infinite ones saturate, NaN stays NaN.
struct Gates {
  float t;  // tanh(gate_v)
  float g;  // sigmoid(gate_u)
};
__device__ inline Gates gates_of(float gate_v, float gate_u) {
  return {tanhf(gate_v), 1.0F / (1.0F + expf(-gate_u))};
}

/// 1 − t² without cancellation near |t| = 1.
__device__ inline float tanh_slope(float t) {
  return (1.0F + t) * (1.0F - t);
}

// ---- 1. Naive: one thread per output, sums in double

constexpr int kNaiveThreads = 64;

Extent naive_grid(int64_t outputs) {
  return blocks_for(outputs, kNaiveThreads);
}

__global__ void logits_naive(GatedAttentionShape s, const float* gate_v, const float* gate_u, const float* w,
                             float* logits) {  // gates: (N,K), w: (K)
  const int64_t n = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (n < s.instances) {
    double sum = 0;
    for (int64_t k = 0; k < s.gate_width; ++k) {
      const Gates gates = gates_of(gate_v[n * s.gate_width + k], gate_u[n * s.gate_width + k]);
      sum += static_cast<double>(w[k] * gates.t * gates.g);
    }
    logits[n] = static_cast<float>(sum);
  }
}

/// One thread in all.
__global__ void softmax_naive(const float* logits, float* attention, FailureWord no_nan, int64_t instances) {
  float largest = -INFINITY;
  for (int64_t n = 0; n < instances; ++n) {
    if (logits[n] != logits[n]) report(no_nan, n);
    largest = fmaxf(largest, logits[n]);
  }
  double sum = 0;
  for (int64_t n = 0; n < instances; ++n) sum += static_cast<double>(expf(logits[n] - largest));
  for (int64_t n = 0; n < instances; ++n)
    attention[n] = static_cast<float>(static_cast<double>(expf(logits[n] - largest)) / sum);
}

__global__ void pool_naive(GatedAttentionShape s, const float* attention, const float* h, float* pooled) {
  const int64_t l = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (l < s.width) {
    double sum = 0;
    for (int64_t n = 0; n < s.instances; ++n)
      sum += static_cast<double>(attention[n]) * static_cast<double>(h[n * s.width + l]);
    pooled[l] = static_cast<float>(sum);
  }
}

__global__ void weight_gradient_naive(GatedAttentionShape s, const float* h, const float* dpooled,
                                      const float* dattention, float* dweight) {
  const int64_t n = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (n < s.instances) {
    double sum = dattention == nullptr ? 0 : static_cast<double>(dattention[n]);
    for (int64_t l = 0; l < s.width; ++l)
      sum += static_cast<double>(h[n * s.width + l]) * static_cast<double>(dpooled[l]);
    dweight[n] = static_cast<float>(sum);
  }
}

/// One thread in all.
__global__ void logit_gradient_naive(const float* attention, const float* dweight, float* dlogits,
                                     int64_t instances) {
  double mean = 0;
  for (int64_t n = 0; n < instances; ++n)
    mean += static_cast<double>(attention[n]) * static_cast<double>(dweight[n]);
  for (int64_t n = 0; n < instances; ++n) {
    dlogits[n] =
        static_cast<float>(static_cast<double>(attention[n]) * (static_cast<double>(dweight[n]) - mean));
  }
}

/// One thread per gate k: its column of both gradients, and dw[k].
__global__ void gate_gradient_naive(GatedAttentionShape s, const float* gate_v, const float* gate_u,
                                    const float* w, const float* dlogits, float* dgate_v, float* dgate_u,
                                    float* dw) {
  const int64_t k = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (k < s.gate_width) {
    double sum = 0;
    for (int64_t n = 0; n < s.instances; ++n) {
      const int64_t at = n * s.gate_width + k;
      const Gates gates = gates_of(gate_v[at], gate_u[at]);
      const float dgated = dlogits[n] * w[k];
      dgate_v[at] = dgated * gates.g * tanh_slope(gates.t);
      dgate_u[at] = dgated * gates.t * (gates.g * (1.0F - gates.g));
      sum += static_cast<double>(dlogits[n] * (gates.t * gates.g));
    }
    dw[k] = static_cast<float>(sum);
  }
}

__global__ void instance_gradient_naive(GatedAttentionShape s, const float* attention, const float* dpooled,
                                        float* dh) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;  // (n,l)
  if (i < s.instances * s.width) dh[i] = attention[i / s.width] * dpooled[i % s.width];
}

void forward_naive(const GatedAttentionShape& s, const float* gate_v, const float* gate_u, const float* w,
                   const float* h, float* logits, float* attention, float* pooled, Stream stream) {
  check_shape(s);
  const QueuedCheck no_nan = no_nan_logit("gated_attention", s.instances, stream);
  launch<logits_naive>(naive_grid(s.instances), kNaiveThreads, 0, stream, s, gate_v, gate_u, w, logits);
  launch<softmax_naive>(1, 1, 0, stream, logits, attention, no_nan.word(), s.instances);
  launch<pool_naive>(naive_grid(s.width), kNaiveThreads, 0, stream, s, attention, h, pooled);
  no_nan.queued();
}

void backward_naive(const GatedAttentionShape& s, const float* gate_v, const float* gate_u, const float* w,
                    const float* h, const float* attention, const float* dpooled, const float* dattention,
                    float* dgate_v, float* dgate_u, float* dw, float* dh, Stream stream) {
  check_shape(s);
  const DeviceArray<float> dweight(s.instances);
  const DeviceArray<float> dlogits(s.instances);
  launch<weight_gradient_naive>(naive_grid(s.instances), kNaiveThreads, 0, stream, s, h, dpooled, dattention,
                                dweight.data());
  launch<logit_gradient_naive>(1, 1, 0, stream, attention, dweight.data(), dlogits.data(), s.instances);
  launch<gate_gradient_naive>(naive_grid(s.gate_width), kNaiveThreads, 0, stream, s, gate_v, gate_u, w,
                              dlogits.data(), dgate_v, dgate_u, dw);
  if (dh == nullptr) return;
  launch<instance_gradient_naive>(naive_grid(s.instances * s.width), kNaiveThreads, 0, stream, s, attention,
                                  dpooled, dh);
}

// ---- 2. Fast: tiles of 128 instances

/// Grid: (tiles).
template <int kVector>
__global__ void gated_logits(GatedAttentionShape s, const float* gate_v, const float* gate_u, const float* w,
                             float* logits, SoftmaxPart* parts) {  // gates: (N,K), w: (K), parts: (tiles)
  SHARED(float, tile_logits, kTileRows);
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * kTileRows;
  const int64_t count = s.instances - begin;
  const int64_t columns = s.gate_width;
  sum_tile(count, tile_logits, [=](int64_t r, int64_t end, float(&sum)[kRowsAtOnce]) {
    for (int64_t k = simt::lane() * kVector; k < columns; k += 32 * kVector) {
      float weight[kVector];
      load_floats(w + k, weight);
#pragma unroll
      for (int i = 0; i < kRowsAtOnce; ++i) {
        if (r + i < end) {
          float v[kVector];
          float u[kVector];
          load_floats(gate_v + (begin + r + i) * columns + k, v);
          load_floats(gate_u + (begin + r + i) * columns + k, u);
#pragma unroll
          for (int e = 0; e < kVector; ++e) {
            const Gates gates = gates_of(v[e], u[e]);
            sum[i] += weight[e] * (gates.t * gates.g);
          }
        }
      }
    }
  });
  simt::sync_threads();
  float logit = 0;
  if (threadIdx.x < count) {
    logit = tile_logits[threadIdx.x];
    logits[begin + threadIdx.x] = logit;
  }
  store_softmax_part(logit, begin + threadIdx.x, s.instances, &parts[blockIdx.x]);
}

/// Grid: (tiles, groups of 32·kVector gates). A lane owns kVector gates, a warp every fourth row; the gates
/// are computed again and read once, and the tile's part of dw comes with them.
template <int kVector>
__global__ void gate_gradients(GatedAttentionShape s, const float* gate_v, const float* gate_u,
                               const float* w, const float* dlogits, float* dgate_v, float* dgate_u,
                               float* dw_parts) {         // gates: (N,K), dlogits: (N), dw_parts: (tiles,K)
  SHARED(Floats<kVector>, warp_part, kAttentionThreads);  // (warps, 32)
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * kTileRows;
  const int64_t end = begin + kTileRows < s.instances ? begin + kTileRows : s.instances;
  const int64_t column = (static_cast<int64_t>(blockIdx.y) * 32 + simt::lane()) * kVector;
  float dw[kVector] = {};
  if (column < s.gate_width) {
    float weight[kVector];
    load_floats(w + column, weight);
#pragma unroll 2
    for (int64_t n = begin + simt::warp(); n < end; n += kAttentionWarps) {
      const int64_t at = n * s.gate_width + column;
      const float dlogit = dlogits[n];
      float v[kVector];
      float u[kVector];
      load_floats(gate_v + at, v);
      load_floats(gate_u + at, u);
#pragma unroll
      for (int i = 0; i < kVector; ++i) {
        const Gates gates = gates_of(v[i], u[i]);
        const float dgated = dlogit * weight[i];
        v[i] = dgated * gates.g * tanh_slope(gates.t);
        u[i] = dgated * gates.t * (gates.g * (1.0F - gates.g));
        dw[i] += dlogit * (gates.t * gates.g);
      }
      store_floats(dgate_v + at, v);
      store_floats(dgate_u + at, u);
    }
  }
  store_shared_floats(warp_part[threadIdx.x], dw);
  simt::sync_threads();
  for (int i = static_cast<int>(threadIdx.x); i < 32 * kVector; i += kAttentionThreads) {
    const int64_t k = static_cast<int64_t>(blockIdx.y) * 32 * kVector + i;
    float sum = 0;
    for (int part = 0; part < kAttentionWarps; ++part)
      sum += warp_part[part * 32 + i / kVector].value[i % kVector];
    if (k < s.gate_width) dw_parts[blockIdx.x * s.gate_width + k] = sum;
  }
}

void forward(const GatedAttentionShape& s, const float* gate_v, const float* gate_u, const float* w,
             const float* h, float* logits, float* attention, float* pooled, Stream stream) {
  check_shape(s);
  const int64_t tiles = blocks_for(s.instances, kTileRows);
  const DeviceArray<SoftmaxPart> parts(tiles);
  const QueuedCheck no_nan = no_nan_logit("gated_attention", s.instances, stream);
  if (rows_of_vectors(s.gate_width, gate_v, gate_u, w)) {
    launch<gated_logits<4>>(tiles, kAttentionThreads, 0, stream, s, gate_v, gate_u, w, logits, parts.data());
  } else {
    launch<gated_logits<1>>(tiles, kAttentionThreads, 0, stream, s, gate_v, gate_u, w, logits, parts.data());
  }
  launch<attention_normalise>(blocks_for(s.instances, kNormaliseRows), kAttentionThreads, 0, stream, logits,
                              parts.data(), attention, no_nan.word(), s.instances, 1, tiles);
  pool_rows(attention, h, pooled, s.instances, 1, s.width, stream);
  no_nan.queued();
}

void backward(const GatedAttentionShape& s, const float* gate_v, const float* gate_u, const float* w,
              const float* h, const float* attention, const float* dpooled, const float* dattention,
              float* dgate_v, float* dgate_u, float* dw, float* dh, Stream stream) {
  check_shape(s);
  const int64_t tiles = blocks_for(s.instances, kTileRows);
  const DeviceArray<float> dlogits(s.instances);            // (N)
  const DeviceArray<float> dw_parts(tiles * s.gate_width);  // (tiles,K)
  backward_to_logits(h, dpooled, dattention, attention, dlogits.data(), s.instances, 1, s.width, 1.0F,
                     stream);
  if (rows_of_vectors(s.gate_width, gate_v, gate_u, w, dgate_v, dgate_u)) {
    launch<gate_gradients<4>>({tiles, blocks_for(s.gate_width, 128)}, kAttentionThreads, 0, stream, s, gate_v,
                              gate_u, w, dlogits.data(), dgate_v, dgate_u, dw_parts.data());
  } else {
    launch<gate_gradients<1>>({tiles, blocks_for(s.gate_width, 32)}, kAttentionThreads, 0, stream, s, gate_v,
                              gate_u, w, dlogits.data(), dgate_v, dgate_u, dw_parts.data());
  }
  sum_parts_in_order(dw_parts.data(), dw, tiles, s.gate_width, stream);
  if (dh != nullptr) spread_rows(attention, dpooled, nullptr, dh, s.instances, 1, s.width, stream);
}

constexpr GatedAttention<float> kFast{forward, backward};
constexpr GatedAttention<float> kNaive{forward_naive, backward_naive};

}  // namespace

void register_gated_attention() {
  register_table(kDevice, kFast);
  register_table(kDevice, kNaive, "naive");
}

}  // namespace mt::MT_BACKEND
