#pragma once
// Gated attention pooling (ABMIL). Math and cost: gated_attention.md.

#include <cstdint>

#include "kernels/common/stream.h"
#include "tensor/device.h"

namespace mt {

/// Sizes of one bag; all >= 1.
struct GatedAttentionShape {
  int64_t instances = 0;   // N
  int64_t gate_width = 0;  // K
  int64_t width = 0;       // L
};

/// Source: Ilse, Tomczak & Welling, "Attention-based Deep Multiple Instance Learning", ICML 2018, equation 9.
/// The pre-activations gate_v = V h + b_v and gate_u = U h + b_u come from matrix products outside. A bias
/// behind w would shift all logits alike: it changes nothing, its gradient is 0, and so it is no input here.
template <typename T>
struct GatedAttention {
  /// logits[n] = sum over k of w[k] tanh(gate_v[n,k]) sigmoid(gate_u[n,k]); attention = softmax over n of
  /// logits; pooled = sum over n of attention[n] h[n]. gate_v, gate_u: (N,K), w: (K), h: (N,L); logits,
  /// attention: (N), pooled: (L). A NaN logit is an Error naming the row.
  void (*forward)(const GatedAttentionShape& shape, const T* gate_v, const T* gate_u, const T* w, const T* h,
                  T* logits, T* attention, T* pooled, Stream stream);
  /// dpooled: (L), dattention: (N) or null. dgate_v, dgate_u: (N,K), dw: (K), dh: (N,L) or null: all written
  /// in full. dh is what flows through the pooling only. The gates are computed again.
  void (*backward)(const GatedAttentionShape& shape, const T* gate_v, const T* gate_u, const T* w, const T* h,
                   const T* attention, const T* dpooled, const T* dattention, T* dgate_v, T* dgate_u, T* dw,
                   T* dh, Stream stream);
};

template <typename T>
const GatedAttention<T>& gated_attention(Device device);
template <>
const GatedAttention<float>& gated_attention<float>(Device device);
template <>
const GatedAttention<double>& gated_attention<double>(Device device);

}  // namespace mt
