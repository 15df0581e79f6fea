#include "kernels/dsmil/dsmil.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/dsmil/dsmil_cpu.cc"
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

/// Instances [begin, end) of a bag. Leaves the logits in `attention`, and in pooled (C,V) the sum of
/// exp(logit − the chunk's largest) · values.
void DsmilPoolChunk(const DsmilShape& s, const float* q, const int64_t* critical, const float* values,
                    float* attention, AttentionPart* parts, float* pooled, int64_t begin, int64_t end) {
  const int64_t classes = s.classes;
  const float scale = static_cast<float>(s.scale);
  for (int64_t n = begin; n < end; ++n) {
    for (int64_t c = 0; c < classes; ++c) {
      const float logit =
          scale * DotRow(q + n * s.query_width, q + critical[c] * s.query_width, s.query_width);
      attention[n * classes + c] = logit;
      if (logit != logit && parts[c].nan_row < 0) parts[c].nan_row = n;
      parts[c].largest = std::max(parts[c].largest, logit);
    }
  }
  std::vector<float> weights(static_cast<std::size_t>((end - begin) * classes));  // (chunk, C)
  for (int64_t i = 0; i < (end - begin) * classes; ++i) {
    weights[static_cast<std::size_t>(i)] = attention[begin * classes + i] - parts[i % classes].largest;
  }
  ExpRow(weights.data(), (end - begin) * classes);
  for (int64_t n = begin; n < end; ++n) {
    for (int64_t c = 0; c < classes; ++c) {
      const float weight = weights[static_cast<std::size_t>((n - begin) * classes + c)];
      parts[c].sum += static_cast<double>(weight);
      AddScaledRow(weight, values + n * s.value_width, pooled + c * s.value_width, s.value_width);
    }
  }
}

/// Turns logits into attention.
void DsmilNormaliseChunk(float* attention, const AttentionTotal* totals, int64_t classes, int64_t begin,
                         int64_t end) {
  for (int64_t i = begin * classes; i < end * classes; ++i) attention[i] -= totals[i % classes].largest;
  ExpRow(attention + begin * classes, (end - begin) * classes);
  for (int64_t i = begin * classes; i < end * classes; ++i) {
    attention[i] = static_cast<float>(static_cast<double>(attention[i]) / totals[i % classes].sum);
  }
}

/// dweight[n,c] = values[n]·dpooled[c] + dattention[n,c], and the chunk's part of its mean under the
/// attention: means (C).
void DsmilWeightGradientChunk(const DsmilShape& s, const float* values, const float* attention,
                              const float* dpooled, const float* dattention, float* dweight, double* means,
                              int64_t begin, int64_t end) {
  for (int64_t n = begin; n < end; ++n) {
    for (int64_t c = 0; c < s.classes; ++c) {
      const int64_t at = n * s.classes + c;
      dweight[at] = DotRow(values + n * s.value_width, dpooled + c * s.value_width, s.value_width);
      if (dattention != nullptr) dweight[at] += dattention[at];
      means[c] += static_cast<double>(attention[at]) * static_cast<double>(dweight[at]);
    }
  }
}

/// dq of the chunk's own rows, dvalues, and the chunk's part of what the critical queries get: dcritical
/// (C,Q).
void DsmilQueryGradientChunk(const DsmilShape& s, const float* q, const int64_t* critical,
                             const float* attention, const float* dweight, const float* means,
                             const float* dpooled, float* dq, float* dvalues, float* dcritical, int64_t begin,
                             int64_t end) {
  const float scale = static_cast<float>(s.scale);
  for (int64_t n = begin; n < end; ++n) {
    float* dq_row = dq + n * s.query_width;  // (Q)
    std::fill(dq_row, dq_row + s.query_width, 0.0F);
    for (int64_t c = 0; c < s.classes; ++c) {
      const float weight = attention[n * s.classes + c];
      const float dlogit = scale * weight * (dweight[n * s.classes + c] - means[c]);
      AddScaledRow(dlogit, q + critical[c] * s.query_width, dq_row, s.query_width);
      AddScaledRow(dlogit, q + n * s.query_width, dcritical + c * s.query_width, s.query_width);
      if (dvalues == nullptr) continue;
      const float* upstream = dpooled + c * s.value_width;  // (V)
      float* dvalues_row = dvalues + n * s.value_width;     // (V)
      if (c == 0)
        ScaleRow(weight, upstream, dvalues_row, s.value_width);
      else
        AddScaledRow(weight, upstream, dvalues_row, s.value_width);
    }
  }
}

}  // namespace mt::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mt {
namespace {

HWY_EXPORT(DsmilPoolChunk);
HWY_EXPORT(DsmilNormaliseChunk);
HWY_EXPORT(DsmilWeightGradientChunk);
HWY_EXPORT(DsmilQueryGradientChunk);

std::size_t chunks_of(int64_t instances) {
  return static_cast<std::size_t>((instances + kAttentionChunk - 1) / kAttentionChunk);
}

void check_shape(const DsmilShape& s) {
  check(s.instances >= 1, "dsmil: the bag is empty");
  check(s.classes >= 1 && s.query_width >= 1 && s.value_width >= 1,
        "dsmil: {} classes, query width {}, value width {}; each must be at least 1", s.classes,
        s.query_width, s.value_width);
}

/// One pass over the logits, a range of rows a task; the ranges' winners are compared in order, so the first
/// maximum wins.
void critical_instances(const float* logits, int64_t* critical, int64_t instances, int64_t classes, Stream) {
  check(instances >= 1, "dsmil: the bag is empty");
  constexpr int64_t kRows = 16384;
  std::vector<int64_t> nan_at(static_cast<std::size_t>((instances + kRows - 1) / kRows), -1);
  std::vector<int64_t> winners(nan_at.size() * static_cast<std::size_t>(classes));  // (ranges, C)
  parallel_for(instances, kRows, [&](int64_t begin, int64_t end) {
    int64_t* winner = winners.data() + begin / kRows * classes;  // (C)
    std::fill(winner, winner + classes, begin);
    for (int64_t i = begin * classes; i < end * classes; ++i) {
      int64_t& best = winner[i % classes];
      if (logits[i] > logits[best * classes + i % classes]) best = i / classes;
      int64_t& nan = nan_at[static_cast<std::size_t>(begin / kRows)];
      if (logits[i] != logits[i] && nan < 0) nan = i;
    }
  });
  for (const int64_t nan : nan_at) {
    check(nan < 0, "dsmil: the logit of instance {} and class {} is NaN", nan / classes, nan % classes);
  }
  for (int64_t c = 0; c < classes; ++c) {
    critical[c] = winners[static_cast<std::size_t>(c)];
    for (std::size_t i = static_cast<std::size_t>(c); i < winners.size();
         i += static_cast<std::size_t>(classes)) {
      if (logits[winners[i] * classes + c] > logits[critical[c] * classes + c]) critical[c] = winners[i];
    }
  }
}

void forward(const DsmilShape& s, const float* q, const int64_t* critical, const float* values,
             float* attention, float* pooled, Stream) {
  check_shape(s);
  const std::size_t classes = static_cast<std::size_t>(s.classes);
  const std::size_t pooled_size = classes * static_cast<std::size_t>(s.value_width);
  std::vector<AttentionPart> parts(chunks_of(s.instances) * classes);           // (chunks, C)
  std::vector<float> chunk_pooled(chunks_of(s.instances) * pooled_size, 0.0F);  // (chunks, C, V)
  const auto pool = HWY_DYNAMIC_DISPATCH(DsmilPoolChunk);
  parallel_for(s.instances, kAttentionChunk, [&, pool](int64_t begin, int64_t end) {
    const std::size_t chunk = static_cast<std::size_t>(begin / kAttentionChunk);
    pool(s, q, critical, values, attention, &parts[chunk * classes], &chunk_pooled[chunk * pooled_size],
         begin, end);
  });
  std::vector<AttentionTotal> totals;
  for (int64_t c = 0; c < s.classes; ++c) totals.push_back(merge_parts(parts, s.classes, c, "dsmil"));
  std::vector<double> sums(pooled_size, 0.0);       // (C,V)
  for (std::size_t i = 0; i < parts.size(); ++i) {  // chunk by chunk, class by class
    const AttentionTotal& total = totals[i % classes];
    const double factor =
        std::exp(static_cast<double>(parts[i].largest) - static_cast<double>(total.largest)) / total.sum;
    for (std::size_t v = 0; v < pooled_size / classes; ++v) {
      sums[i % classes * (pooled_size / classes) + v] +=
          factor * static_cast<double>(chunk_pooled[i * (pooled_size / classes) + v]);
    }
  }
  for (std::size_t v = 0; v < pooled_size; ++v) pooled[v] = static_cast<float>(sums[v]);
  const auto normalise = HWY_DYNAMIC_DISPATCH(DsmilNormaliseChunk);
  parallel_for(s.instances, kAttentionChunk, [&, normalise](int64_t begin, int64_t end) {
    normalise(attention, totals.data(), s.classes, begin, end);
  });
}

void backward(const DsmilShape& s, const float* q, const int64_t* critical, const float* values,
              const float* attention, const float* dpooled, const float* dattention, float* dq,
              float* dvalues, Stream) {
  check_shape(s);
  const std::size_t classes = static_cast<std::size_t>(s.classes);
  const std::size_t chunks = chunks_of(s.instances);
  std::vector<float> dweight(static_cast<std::size_t>(s.instances) * classes);  // (N,C)
  std::vector<double> chunk_means(chunks * classes, 0.0);
  const auto weight_gradient = HWY_DYNAMIC_DISPATCH(DsmilWeightGradientChunk);
  parallel_for(s.instances, kAttentionChunk, [&, weight_gradient](int64_t begin, int64_t end) {
    double* means = &chunk_means[static_cast<std::size_t>(begin / kAttentionChunk) * classes];
    weight_gradient(s, values, attention, dpooled, dattention, dweight.data(), means, begin, end);
  });
  std::vector<double> sums(classes, 0.0);
  for (std::size_t i = 0; i < chunk_means.size(); ++i) sums[i % classes] += chunk_means[i];
  const std::vector<float> means(sums.begin(), sums.end());

  const std::size_t query_size = classes * static_cast<std::size_t>(s.query_width);
  std::vector<float> chunk_dcritical(chunks * query_size, 0.0F);  // (chunks, C, Q)
  const auto query_gradient = HWY_DYNAMIC_DISPATCH(DsmilQueryGradientChunk);
  parallel_for(s.instances, kAttentionChunk, [&, query_gradient](int64_t begin, int64_t end) {
    float* dcritical = &chunk_dcritical[static_cast<std::size_t>(begin / kAttentionChunk) * query_size];
    query_gradient(s, q, critical, attention, dweight.data(), means.data(), dpooled, dq, dvalues, dcritical,
                   begin, end);
  });
  for (std::size_t i = 0; i < query_size; ++i) {
    double sum = 0;
    for (std::size_t chunk = 0; chunk < chunks; ++chunk)
      sum += static_cast<double>(chunk_dcritical[chunk * query_size + i]);
    const int64_t c = static_cast<int64_t>(i) / s.query_width;
    dq[critical[c] * s.query_width + static_cast<int64_t>(i) % s.query_width] += static_cast<float>(sum);
  }
}

}  // namespace

template <>
const Dsmil<float>& dsmil<float>(Device device) {
  static constexpr Dsmil<float> table{critical_instances, forward, backward};
  return device == Device::cpu ? table : device_table<Dsmil<float>>(device, "dsmil");
}

}  // namespace mt
#endif
