#pragma once
// SupCon on cuda and simt: what its versions share. Included by supcon*.cu only.

#include <cstdint>
#include <type_traits>

#include "kernels/common/log_sum_exp.cuh"
#include "kernels/device/kernel.h"
#include "kernels/supcon/supcon.h"

namespace mt::MT_BACKEND {

/// The statistics of a shard's anchors, and dz of its rows; the batch has been checked.
using SupConStatistics = void(const SupConBatch<float>& batch, float* lse, float* positive_sum,
                              int32_t* positive_count, Stream stream);
/// Of one row as an anchor, in 16 bytes. Weight 0: it contributes nothing.
struct alignas(16) SupConTerm {
  float weight;  // dloss · τ/τ_base / anchors
  float lse;     // the largest float where the weight is 0
  float share;   // 1 / |P(i)|
  float unused;
};
/// terms: (rows).
using SupConGradient = void(const SupConBatch<float>& batch, const SupConTerm* terms, float* dz,
                            Stream stream);

SupConStatistics supcon_statistics_fp32;  // supcon_fp32.cu: any GPU
SupConGradient supcon_gradient_fp32;
SupConStatistics supcon_statistics_tf32x3;  // supcon_tf32x3.cu: tensor cores, three products for each
SupConGradient supcon_gradient_tf32x3;

// ---- Which pairs count

struct SupConRules {
  explicit SupConRules(const SupConBatch<float>& b)
      : labels(b.labels),
        uncertain(b.uncertain),
        positive_pairs(b.positive_pairs),
        images(b.images),
        rows(b.rows),
        mode(b.pair_mode) {}
  const int32_t* labels;
  const uint8_t* uncertain;
  const uint8_t* positive_pairs;
  int64_t images;
  int64_t rows;
  PairMode mode;
};

/// What a pair needs to know of each of its rows.
struct SupConRow {
  int64_t row;
  int32_t id;      // the label, or with explicit pairs the image
  bool is_column;  // it is there, and not uncertain
  bool may_pair;   // its label counts in this mode
};

__device__ inline SupConRow supcon_row(const SupConRules& rules, int64_t row) {
  SupConRow r{row, 0, false, false};
  if (row < rules.rows) {
    r.is_column = rules.uncertain == nullptr || rules.uncertain[row] == 0;
    r.id = rules.positive_pairs != nullptr ? static_cast<int32_t>(row % rules.images) : rules.labels[row];
    r.may_pair = rules.mode == PairMode::all || (r.id != 0) == (rules.mode == PairMode::positives);
  }
  return r;
}

/// j in A(i)
__device__ inline bool in_contrast(const SupConRow& i, const SupConRow& j) {
  return j.is_column && i.row != j.row;
}
/// j in P(i); i is a row that is there.
__device__ inline bool is_positive(const SupConRules& rules, const SupConRow& i, const SupConRow& j) {
  if (!in_contrast(i, j)) return false;
  if (rules.positive_pairs != nullptr) return rules.positive_pairs[i.id * rules.images + j.id] != 0;
  return i.id == j.id && i.may_pair;
}

// ---- The online log-sum-exp of an anchor, and its positives

struct alignas(16) SupConState {
  MaxAndSum contrast{-INFINITY, 0};
  float positive_sum = 0;
  int32_t positive_count = 0;
};

/// The published code's 1e-10 inside the log is one more column, there from the start.
__device__ inline SupConState supcon_start(const SupConRules& rules) {
  SupConState state;
  if (rules.uncertain != nullptr) {
    state.contrast.largest = -23.02585093F;  // log 1e-10
    state.contrast.sum = 1;
  }
  return state;
}

__device__ inline SupConState merged(const SupConState& a, const SupConState& b) {
  return {merged(a.contrast, b.contrast), a.positive_sum + b.positive_sum,
          a.positive_count + b.positive_count};
}

/// g_ij + g_ji (supcon.md): s is the similarity of rows i and j.
__device__ inline float supcon_coefficient(const SupConRules& rules, const SupConRow& i,
                                           const SupConTerm& of_i, const SupConRow& j, const SupConTerm& of_j,
                                           float s) {
  const float p_ij = in_contrast(i, j) ? expf(s - of_i.lse) : 0.0F;
  const float p_ji = in_contrast(j, i) ? expf(s - of_j.lse) : 0.0F;
  const float g_ij = p_ij - (is_positive(rules, i, j) ? of_i.share : 0.0F);
  const float g_ji = p_ji - (is_positive(rules, j, i) ? of_j.share : 0.0F);
  return of_i.weight * g_ij + of_j.weight * g_ji;
}

}  // namespace mt::MT_BACKEND
