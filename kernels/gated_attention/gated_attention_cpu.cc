#include "kernels/gated_attention/gated_attention.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/gated_attention/gated_attention_cpu.cc"
#include <hwy/foreach_target.h>
// The headers above must come first: this file is compiled once per instruction set.
#include <hwy/highway.h>

#include <algorithm>
#include <vector>

#include "kernels/common/attention_chunks.h"
#include "kernels/common/lanes-inl.h"
#include "kernels/common/rows-inl.h"
#include "kernels/common/tables.h"
#include "tensor/parallel.h"

HWY_BEFORE_NAMESPACE();
namespace mt::HWY_NAMESPACE {

/// tanh is 1 in float beyond 20, and e^87 is the last power that a float holds: infinite inputs stay
/// harmless.
HWY_INLINE Lanes::Value GateTanh(const Lanes::Value& x) {
  return Lanes::tanh(Lanes::max(Lanes::min(x, Lanes::set(20.0F)), Lanes::set(-20.0F)));
}
HWY_INLINE Lanes::Value GateSigmoid(const Lanes::Value& x) {
  const auto one = Lanes::set(1.0F);
  const auto minus =
      Lanes::max(Lanes::min(Lanes::sub(Lanes::set(0.0F), x), Lanes::set(87.0F)), Lanes::set(-87.0F));
  return Lanes::div(one, Lanes::add(one, Lanes::exp(minus)));
}

HWY_INLINE float GatedLogit(const float* gate_v, const float* gate_u, const float* w,
                            int64_t n) {  // all: (K)
  auto sum = Lanes::set(0.0F);
  bool has_nan = false;
  for_each_lanes(n, [&](int64_t k, int64_t count) HWY_ATTR {
    const auto v = Lanes::load_or(gate_v + k, count, 0.0F);
    const auto u = Lanes::load_or(gate_u + k, count, 0.0F);
    has_nan |= Lanes::any_nan(v) || Lanes::any_nan(u);
    const auto gated = Lanes::mul(GateTanh(v), GateSigmoid(u));
    sum = Lanes::mul_add(Lanes::load_or(w + k, count, 0.0F), gated, sum);
  });
  return has_nan ? NAN : Lanes::reduce_add(sum);
}

/// Instances [begin, end): their logits, and in pooled (L) the sum of exp(logit − the chunk's largest) · h.
void GatedPoolChunk(const GatedAttentionShape& s, const float* gate_v, const float* gate_u, const float* w,
                    const float* h, float* logits, AttentionPart* part, float* pooled, int64_t begin,
                    int64_t end) {
  for (int64_t n = begin; n < end; ++n) {
    logits[n] = GatedLogit(gate_v + n * s.gate_width, gate_u + n * s.gate_width, w, s.gate_width);
    if (logits[n] != logits[n] && part->nan_row < 0) part->nan_row = n;
    part->largest = std::max(part->largest, logits[n]);
  }
  HWY_ALIGN float weights[kAttentionChunk];
  for (int64_t n = begin; n < end; ++n) weights[n - begin] = logits[n] - part->largest;
  ExpRow(weights, end - begin);
  for (int64_t n = begin; n < end; ++n) {
    part->sum += static_cast<double>(weights[n - begin]);
    AddScaledRow(weights[n - begin], h + n * s.width, pooled, s.width);
  }
}

void GatedNormaliseChunk(const float* logits, float* attention, const AttentionTotal& total, int64_t begin,
                         int64_t end) {
  for (int64_t n = begin; n < end; ++n) attention[n] = logits[n] - total.largest;
  ExpRow(attention + begin, end - begin);
  for (int64_t n = begin; n < end; ++n) {
    attention[n] = static_cast<float>(static_cast<double>(attention[n]) / total.sum);
  }
}

/// dweight[n] = h[n]·dpooled + dattention[n]; returns the chunk's part of its mean under the attention.
double GatedWeightGradientChunk(const GatedAttentionShape& s, const float* h, const float* attention,
                                const float* dpooled, const float* dattention, float* dweight, int64_t begin,
                                int64_t end) {
  double mean = 0;
  for (int64_t n = begin; n < end; ++n) {
    dweight[n] = DotRow(h + n * s.width, dpooled, s.width);
    if (dattention != nullptr) dweight[n] += dattention[n];
    mean += static_cast<double>(attention[n]) * static_cast<double>(dweight[n]);
  }
  return mean;
}

/// One row of the gates' gradients; dw (K) gathers. Every pointer: (K).
HWY_INLINE void GatedRowGradient(float dlogit, const float* gate_v, const float* gate_u, const float* w,
                                 float* dgate_v, float* dgate_u, float* dw, int64_t n) {
  const auto d = Lanes::set(dlogit);
  const auto one = Lanes::set(1.0F);
  for_each_lanes(n, [&](int64_t k, int64_t count) HWY_ATTR {
    const auto t = GateTanh(Lanes::load_or(gate_v + k, count, 0.0F));
    const auto g = GateSigmoid(Lanes::load_or(gate_u + k, count, 0.0F));
    const auto dgated = Lanes::mul(d, Lanes::load_or(w + k, count, 0.0F));
    const auto slope_v = Lanes::mul(Lanes::add(one, t), Lanes::sub(one, t));  // 1 − tanh²
    Lanes::store(Lanes::mul(Lanes::mul(dgated, g), slope_v), dgate_v + k, count);
    Lanes::store(Lanes::mul(Lanes::mul(dgated, t), Lanes::mul(g, Lanes::sub(one, g))), dgate_u + k, count);
    Lanes::store(Lanes::mul_add(d, Lanes::mul(t, g), Lanes::load_or(dw + k, count, 0.0F)), dw + k, count);
  });
}

void GatedGradientChunk(const GatedAttentionShape& s, const float* gate_v, const float* gate_u,
                        const float* w, const float* attention, const float* dweight, float mean,
                        const float* dpooled, float* dgate_v, float* dgate_u, float* dw, float* dh,
                        int64_t begin, int64_t end) {
  for (int64_t n = begin; n < end; ++n) {
    const float dlogit = attention[n] * (dweight[n] - mean);
    const int64_t row = n * s.gate_width;
    GatedRowGradient(dlogit, gate_v + row, gate_u + row, w, dgate_v + row, dgate_u + row, dw, s.gate_width);
    if (dh != nullptr) ScaleRow(attention[n], dpooled, dh + n * s.width, s.width);
  }
}

}  // namespace mt::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mt {
namespace {

HWY_EXPORT(GatedPoolChunk);
HWY_EXPORT(GatedNormaliseChunk);
HWY_EXPORT(GatedWeightGradientChunk);
HWY_EXPORT(GatedGradientChunk);

std::size_t chunks_of(int64_t instances) {
  return static_cast<std::size_t>((instances + kAttentionChunk - 1) / kAttentionChunk);
}

void check_shape(const GatedAttentionShape& s) {
  check(s.instances >= 1, "gated_attention: the bag is empty");
  check(s.gate_width >= 1 && s.width >= 1, "gated_attention: gate width {} and width {} must be at least 1",
        s.gate_width, s.width);
}

void forward(const GatedAttentionShape& s, const float* gate_v, const float* gate_u, const float* w,
             const float* h, float* logits, float* attention, float* pooled, Stream) {
  check_shape(s);
  const std::size_t width = static_cast<std::size_t>(s.width);
  std::vector<AttentionPart> parts(chunks_of(s.instances));
  std::vector<float> chunk_pooled(parts.size() * width, 0.0F);  // (chunks, L)
  const auto pool = HWY_DYNAMIC_DISPATCH(GatedPoolChunk);
  parallel_for(s.instances, kAttentionChunk, [&, pool](int64_t begin, int64_t end) {
    const std::size_t chunk = static_cast<std::size_t>(begin / kAttentionChunk);
    pool(s, gate_v, gate_u, w, h, logits, &parts[chunk], &chunk_pooled[chunk * width], begin, end);
  });
  const AttentionTotal total = merge_parts(parts, 1, 0, "gated_attention");
  std::vector<double> sums(width, 0.0);
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const double factor =
        std::exp(static_cast<double>(parts[i].largest) - static_cast<double>(total.largest)) / total.sum;
    for (std::size_t l = 0; l < width; ++l)
      sums[l] += factor * static_cast<double>(chunk_pooled[i * width + l]);
  }
  for (std::size_t l = 0; l < width; ++l) pooled[l] = static_cast<float>(sums[l]);
  const auto normalise = HWY_DYNAMIC_DISPATCH(GatedNormaliseChunk);
  parallel_for(s.instances, kAttentionChunk, [&, normalise](int64_t begin, int64_t end) {
    normalise(logits, attention, total, begin, end);
  });
}

void backward(const GatedAttentionShape& s, const float* gate_v, const float* gate_u, const float* w,
              const float* h, const float* attention, const float* dpooled, const float* dattention,
              float* dgate_v, float* dgate_u, float* dw, float* dh, Stream) {
  check_shape(s);
  const std::size_t chunks = chunks_of(s.instances);
  const std::size_t gate_width = static_cast<std::size_t>(s.gate_width);
  std::vector<float> dweight(static_cast<std::size_t>(s.instances));
  std::vector<double> chunk_means(chunks);
  const auto weight_gradient = HWY_DYNAMIC_DISPATCH(GatedWeightGradientChunk);
  parallel_for(s.instances, kAttentionChunk, [&, weight_gradient](int64_t begin, int64_t end) {
    chunk_means[static_cast<std::size_t>(begin / kAttentionChunk)] =
        weight_gradient(s, h, attention, dpooled, dattention, dweight.data(), begin, end);
  });
  double mean = 0;
  for (const double part : chunk_means) mean += part;

  std::vector<float> chunk_dw(chunks * gate_width, 0.0F);  // (chunks, K)
  const auto gradient = HWY_DYNAMIC_DISPATCH(GatedGradientChunk);
  parallel_for(s.instances, kAttentionChunk, [&, gradient](int64_t begin, int64_t end) {
    float* own_dw = &chunk_dw[static_cast<std::size_t>(begin / kAttentionChunk) * gate_width];
    gradient(s, gate_v, gate_u, w, attention, dweight.data(), static_cast<float>(mean), dpooled, dgate_v,
             dgate_u, own_dw, dh, begin, end);
  });
  for (std::size_t k = 0; k < gate_width; ++k) {
    double sum = 0;
    for (std::size_t chunk = 0; chunk < chunks; ++chunk)
      sum += static_cast<double>(chunk_dw[chunk * gate_width + k]);
    dw[k] = static_cast<float>(sum);
  }
}

}  // namespace

template <>
const GatedAttention<float>& gated_attention<float>(Device device) {
  static constexpr GatedAttention<float> table{forward, backward};
  return device == Device::cpu ? table : device_table<GatedAttention<float>>(device, "gated_attention");
}

}  // namespace mt
#endif
