#include "kernels/supcon/supcon.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/supcon/supcon_cpu.cc"
#include <hwy/foreach_target.h>
// The headers above must come first: this file is compiled once per instruction set.
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "kernels/common/lanes-inl.h"
#include "kernels/common/tables.h"
#include "kernels/common/tile-inl.h"
#include "kernels/supcon/supcon_pack.h"
#include "tensor/parallel.h"

#ifndef MT_KERNELS_SUPCON_JOBS_
#define MT_KERNELS_SUPCON_JOBS_
namespace mt {

struct SupConJob {
  const SupConBatch<float>& batch;
  const SupConPairs& pairs;
  const float* row_panels;  // (padded / 16, width, 16)
};

/// Per anchor as a row of the loss, padded to all columns: weight 0 where it contributes nothing.
struct SupConAnchors {
  std::vector<float> weight;         // dloss · τ/τ_base / anchors
  std::vector<float> lse;            // the largest float where weight is 0
  std::vector<float> inverse_count;  // 1 / |P(i)|
};

}  // namespace mt
#endif

HWY_BEFORE_NAMESPACE();
namespace mt::HWY_NAMESPACE {

/// s[r, 0…128) = z_r · z_(first…first + 128) / τ for rows begin + r of a task. s: (kSupConRows,
/// kSupConColumns)
void SupConSimilarities(const SupConJob& job, int64_t begin, int64_t rows, int64_t first, float* s) {
  const int64_t width = job.batch.width;
  for (int64_t c = 0; c < kSupConColumns; c += kLanes) {
    const float* panel = job.row_panels + (first + c) * width;  // (width, 16)
    TileProduct(job.batch.z + begin * width, width, rows, panel, width, s + c, kSupConColumns, false);
  }
  const auto inverse = Lanes::set(static_cast<float>(1 / job.batch.temperature));
  for (int64_t i = 0; i < rows * kSupConColumns; i += kLanes)
    Lanes::store(Lanes::mul(Lanes::load(s + i), inverse), s + i, kLanes);
}

/// The online log-sum-exp of one anchor and the sum over its positives, in 16 lanes.
struct SupConRowState {
  float largest;
  HWY_ALIGN float sum[kLanes];  // of exp(s − largest)
  HWY_ALIGN float positive_sum[kLanes];
  HWY_ALIGN float positive_count[kLanes];
};

/// Adds one chunk of columns; s, contrast, positive: (kSupConColumns).
void SupConAddColumns(const float* s, const float* contrast, const float* positive, SupConRowState& state) {
  auto chunk_largest = Lanes::set(state.largest);
  for (int64_t k = 0; k < kSupConColumns; k += kLanes) {
    chunk_largest = Lanes::max(chunk_largest, Lanes::add(Lanes::load(s + k), Lanes::load(contrast + k)));
  }
  const float largest = Lanes::reduce_max(chunk_largest);
  auto sum = Lanes::load(state.sum);
  if (largest > state.largest) sum = Lanes::mul(sum, Lanes::exp(Lanes::set(state.largest - largest)));
  state.largest = largest;
  auto positive_sum = Lanes::load(state.positive_sum);
  auto positive_count = Lanes::load(state.positive_count);
  for (int64_t k = 0; k < kSupConColumns; k += kLanes) {
    const auto similarity = Lanes::load(s + k);
    const auto shifted = Lanes::sub(Lanes::add(similarity, Lanes::load(contrast + k)), Lanes::set(largest));
    sum = Lanes::add(sum, Lanes::exp(shifted));
    positive_sum = Lanes::mul_add(Lanes::load(positive + k), similarity, positive_sum);
    positive_count = Lanes::add(positive_count, Lanes::load(positive + k));
  }
  Lanes::store(sum, state.sum, kLanes);
  Lanes::store(positive_sum, state.positive_sum, kLanes);
  Lanes::store(positive_count, state.positive_count, kLanes);
}

/// Anchors [begin, end), at most kSupConRows of them, over all columns.
void SupConForwardRows(const SupConJob& job, int64_t begin, int64_t end, float* lse, float* positive_sum,
                       int32_t* positive_count) {
  HWY_ALIGN float s[kSupConRows * kSupConColumns];
  HWY_ALIGN float contrast[kSupConColumns];
  HWY_ALIGN float positive[kSupConColumns];
  SupConRowState states[kSupConRows] = {};
  for (SupConRowState& state : states) {
    // The 1e-10 inside the log is one more column, there from the start.
    const bool has_epsilon = job.batch.uncertain != nullptr;
    state.largest = has_epsilon ? static_cast<float>(std::log(1e-10)) : std::numeric_limits<float>::lowest();
    state.sum[0] = has_epsilon ? 1.0F : 0.0F;
  }
  for (int64_t first = 0; first < job.batch.rows; first += kSupConColumns) {
    SupConSimilarities(job, begin, end - begin, first, s);
    std::memcpy(contrast, job.pairs.contrast.data() + first, sizeof(contrast));
    for (int64_t i = begin; i < end; ++i) {
      const bool has_self = i >= first && i < first + kSupConColumns;
      if (has_self) contrast[i - first] = -HUGE_VALF;
      supcon_positives_of_row(job.batch, job.pairs, i, first, positive);
      SupConAddColumns(s + (i - begin) * kSupConColumns, contrast, positive, states[i - begin]);
      if (has_self) contrast[i - first] = job.pairs.contrast[static_cast<std::size_t>(i)];
    }
  }
  for (int64_t i = begin; i < end; ++i) {
    const SupConRowState& state = states[i - begin];
    const double sum = static_cast<double>(Lanes::reduce_add(Lanes::load(state.sum)));
    lse[i] = static_cast<float>(static_cast<double>(state.largest) + std::log(sum));
    positive_sum[i] = Lanes::reduce_add(Lanes::load(state.positive_sum));
    positive_count[i] = static_cast<int32_t>(Lanes::reduce_add(Lanes::load(state.positive_count)));
  }
}

/// Replaces the similarities s (kSupConColumns) of row i by g_ij + g_ji (supcon.md).
void SupConCoefficients(const SupConJob& job, const SupConAnchors& anchors, int64_t i, int64_t first,
                        float* s) {
  HWY_ALIGN float of_row[kSupConColumns];     // 1 where j is a positive of i
  HWY_ALIGN float of_column[kSupConColumns];  // 1 where i is a positive of j
  supcon_positives_of_row(job.batch, job.pairs, i, first, of_row);
  supcon_rows_with_positive(job.batch, job.pairs, i, first, of_column);
  const std::size_t row = static_cast<std::size_t>(i);
  const auto row_weight = Lanes::set(anchors.weight[row]);
  const auto row_lse = Lanes::set(anchors.lse[row]);
  const auto row_share = Lanes::set(anchors.inverse_count[row]);
  const auto row_contrast = Lanes::set(job.pairs.contrast[row]);
  for (int64_t k = 0; k < kSupConColumns; k += kLanes) {
    const std::size_t j = static_cast<std::size_t>(first + k);
    const auto similarity = Lanes::load(s + k);
    const auto in_row = Lanes::add(similarity, Lanes::load(&job.pairs.contrast[j]));
    const auto p_row = Lanes::exp(Lanes::sub(in_row, row_lse));
    const auto g_row = Lanes::sub(p_row, Lanes::mul(Lanes::load(of_row + k), row_share));
    const auto in_column = Lanes::add(similarity, row_contrast);
    const auto p_column = Lanes::exp(Lanes::sub(in_column, Lanes::load(&anchors.lse[j])));
    const auto share = Lanes::load(&anchors.inverse_count[j]);
    const auto g_column = Lanes::sub(p_column, Lanes::mul(Lanes::load(of_column + k), share));
    const auto sum = Lanes::mul_add(Lanes::load(&anchors.weight[j]), g_column, Lanes::mul(row_weight, g_row));
    Lanes::store(sum, s + k, kLanes);
  }
  if (i >= first && i < first + kSupConColumns) s[i - first] = 0;
}

/// dz of rows [begin, end), at most kSupConRows. width_panels: (padded / 128, ⌈width / 16⌉, 128, 16).
void SupConBackwardRows(const SupConJob& job, const SupConAnchors& anchors, const float* width_panels,
                        int64_t begin, int64_t end, float* dz) {
  const int64_t width = job.batch.width;
  const int64_t panels = (width + kLanes - 1) / kLanes;
  const int64_t padded_width = panels * kLanes;
  HWY_ALIGN float s[kSupConRows * kSupConColumns];
  std::vector<float> sums(static_cast<std::size_t>(kSupConRows * padded_width),
                          0.0F);  // (kSupConRows, padded width)
  for (int64_t first = 0; first < job.batch.rows; first += kSupConColumns) {
    SupConSimilarities(job, begin, end - begin, first, s);
    for (int64_t i = begin; i < end; ++i) {
      SupConCoefficients(job, anchors, i, first, s + (i - begin) * kSupConColumns);
    }
    for (int64_t p = 0; p < panels; ++p) {
      const float* panel = width_panels + (first * panels + p * kSupConColumns) * kLanes;  // (128, 16)
      TileProduct(s, kSupConColumns, end - begin, panel, kSupConColumns, sums.data() + p * kLanes,
                  padded_width, true);
    }
  }
  const float inverse = static_cast<float>(1 / job.batch.temperature);
  for (int64_t i = begin; i < end; ++i) {
    for (int64_t d = 0; d < width; ++d) {
      dz[i * width + d] = inverse * sums[static_cast<std::size_t>((i - begin) * padded_width + d)];
    }
  }
}

}  // namespace mt::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mt {
namespace {

HWY_EXPORT(SupConForwardRows);
HWY_EXPORT(SupConBackwardRows);

bool has_nan(const SupConBatch<float>& b) {
  bool found = false;
  for (int64_t i = 0; i < b.rows * b.width; ++i) found |= b.z[i] != b.z[i];
  return found;
}

void mean(const SupConBatch<float>& b, const float* lse, const float* positive_sum,
          const int32_t* positive_count, float* loss, Stream) {
  check_supcon(b);
  double total = has_nan(b) ? NAN : 0.0;  // maxima and exp may drop a NaN on the way
  for (int64_t i = 0; i < b.anchors; ++i) {
    if (positive_count[i] == 0) continue;
    const double count = static_cast<double>(positive_count[i]);
    total += static_cast<double>(lse[i]) - static_cast<double>(positive_sum[i]) / count;
  }
  *loss = static_cast<float>(b.temperature / b.base_temperature * total / static_cast<double>(b.anchors));
}

void forward(const SupConBatch<float>& b, float* lse, float* positive_sum, int32_t* positive_count,
             float* loss, Stream stream) {
  const SupConPairs pairs = supcon_pairs(b);
  const std::vector<float> row_panels = supcon_row_panels(b);
  const SupConJob job{b, pairs, row_panels.data()};
  const auto kernel = HWY_DYNAMIC_DISPATCH(SupConForwardRows);
  parallel_for(std::max<int64_t>(0, b.anchors_end() - b.shard_begin), kSupConRows,
               [&, kernel](int64_t begin, int64_t end) {
                 kernel(job, b.shard_begin + begin, b.shard_begin + end, lse, positive_sum, positive_count);
               });
  if (b.is_whole()) mean(b, lse, positive_sum, positive_count, loss, stream);
}

SupConAnchors anchors_of(const SupConBatch<float>& b, const float* lse, const int32_t* positive_count,
                         float dloss) {
  const std::size_t padded = static_cast<std::size_t>(supcon_padded_rows(b));
  SupConAnchors anchors{std::vector<float>(padded, 0.0F),
                        std::vector<float>(padded, std::numeric_limits<float>::max()),
                        std::vector<float>(padded, 0.0F)};
  const double weight =
      static_cast<double>(dloss) * b.temperature / b.base_temperature / static_cast<double>(b.anchors);
  for (std::size_t i = 0; i < static_cast<std::size_t>(b.anchors); ++i) {
    if (positive_count[i] == 0) continue;
    anchors.weight[i] = static_cast<float>(weight);
    anchors.lse[i] = lse[i];
    anchors.inverse_count[i] = 1 / static_cast<float>(positive_count[i]);
  }
  return anchors;
}

void backward(const SupConBatch<float>& b, const float* lse, const int32_t* positive_count,
              const float* dloss, float* dz, Stream) {
  const SupConPairs pairs = supcon_pairs(b);
  const SupConAnchors anchors = anchors_of(b, lse, positive_count, *dloss);
  const std::vector<float> row_panels = supcon_row_panels(b);
  const std::vector<float> width_panels = supcon_width_panels(b);
  const SupConJob job{b, pairs, row_panels.data()};
  const auto kernel = HWY_DYNAMIC_DISPATCH(SupConBackwardRows);
  parallel_for(b.end() - b.shard_begin, kSupConRows, [&, kernel](int64_t begin, int64_t end) {
    kernel(job, anchors, width_panels.data(), b.shard_begin + begin, b.shard_begin + end, dz);
  });
}

}  // namespace

template <>
const SupCon<float>& supcon<float>(Device device) {
  static constexpr SupCon<float> table{forward, mean, backward};
  return device == Device::cpu ? table : device_table<SupCon<float>>(device, "supcon");
}

}  // namespace mt
#endif
