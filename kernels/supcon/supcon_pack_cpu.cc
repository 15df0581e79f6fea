#include <algorithm>
#include <cmath>

#include "kernels/supcon/supcon_pack.h"
#include "tensor/check.h"
#include "tensor/parallel.h"

namespace mt {
namespace {

constexpr int64_t kPanel = 16;

bool mode_allows(PairMode mode, int32_t label) {
  return mode == PairMode::all || (label != 0) == (mode == PairMode::positives);
}

}  // namespace

void check_supcon(const SupConBatch<float>& b) {
  check(b.anchors >= 1 && b.anchors <= b.rows && b.width >= 1,
        "supcon: {} anchors of {} rows of width {}; needs 1 <= anchors <= rows and width >= 1", b.anchors,
        b.rows, b.width);
  check(b.rows < (int64_t{1} << 24), "supcon: {} rows; at most 2^24 - 1 can be counted", b.rows);
  check(b.temperature > 0 && b.base_temperature > 0, "supcon: temperatures {} and {} must be above 0",
        b.temperature, b.base_temperature);
  check(b.labels != nullptr || b.positive_pairs != nullptr, "supcon: labels are missing");
  check(b.positive_pairs == nullptr || (b.images >= 1 && b.pair_mode == PairMode::all),
        "supcon: explicit positive pairs need the number of images and pair mode all");
  check(b.shard_begin >= 0 && b.shard_begin <= b.end() && b.end() <= b.rows,
        "supcon: the shard [{}, {}) of {} rows", b.shard_begin, b.end(), b.rows);
}

int64_t supcon_padded_rows(const SupConBatch<float>& batch) {
  return (batch.rows + kSupConColumns - 1) / kSupConColumns * kSupConColumns;
}

SupConPairs supcon_pairs(const SupConBatch<float>& b) {
  check_supcon(b);
  const std::size_t padded = static_cast<std::size_t>(supcon_padded_rows(b));
  SupConPairs pairs{std::vector<float>(padded, -HUGE_VALF), std::vector<float>(padded, -2.0F),
                    std::vector<float>(padded, -1.0F)};
  std::vector<int32_t> labels;  // sorted, distinct: a label's number is its place, exact as a float
  if (b.positive_pairs == nullptr) labels.assign(b.labels, b.labels + b.rows);
  std::sort(labels.begin(), labels.end());
  labels.erase(std::unique(labels.begin(), labels.end()), labels.end());
  for (int64_t row = 0; row < b.rows; ++row) {
    const std::size_t i = static_cast<std::size_t>(row);
    const bool is_column = b.uncertain == nullptr || b.uncertain[i] == 0;
    if (is_column) pairs.contrast[i] = 0;
    if (b.positive_pairs != nullptr || !mode_allows(b.pair_mode, b.labels[i])) continue;
    const auto number = std::lower_bound(labels.begin(), labels.end(), b.labels[i]) - labels.begin();
    pairs.anchor_id[i] = static_cast<float>(number);
    if (is_column) pairs.column_id[i] = static_cast<float>(number);
  }
  return pairs;
}

std::vector<float> supcon_row_panels(const SupConBatch<float>& b) {
  const int64_t padded = supcon_padded_rows(b);
  std::vector<float> panels(static_cast<std::size_t>(padded * b.width), 0.0F);
  parallel_for(padded / kPanel, 4, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin * kPanel; row < std::min(end * kPanel, b.rows); ++row) {
      float* panel = panels.data() + row / kPanel * b.width * kPanel + row % kPanel;  // (width, 16)
      for (int64_t d = 0; d < b.width; ++d) panel[d * kPanel] = b.z[row * b.width + d];
    }
  });
  return panels;
}

std::vector<float> supcon_width_panels(const SupConBatch<float>& b) {
  const int64_t padded = supcon_padded_rows(b);
  const int64_t panel_count = (b.width + kPanel - 1) / kPanel;
  std::vector<float> panels(static_cast<std::size_t>(padded * panel_count * kPanel), 0.0F);
  parallel_for(padded / kSupConColumns, 1, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin * kSupConColumns; row < std::min(end * kSupConColumns, b.rows); ++row) {
      float* chunk = panels.data() + row / kSupConColumns * panel_count * kSupConColumns * kPanel;
      for (int64_t d = 0; d < b.width; ++d) {
        chunk[(d / kPanel * kSupConColumns + row % kSupConColumns) * kPanel + d % kPanel] =
            b.z[row * b.width + d];
      }
    }
  });
  return panels;
}

void supcon_positives_of_row(const SupConBatch<float>& b, const SupConPairs& pairs, int64_t i, int64_t first,
                             float* out) {
  const float* ids = pairs.column_id.data() + first;
  const float own = pairs.anchor_id[static_cast<std::size_t>(i)];
  for (int64_t k = 0; k < kSupConColumns; ++k) out[k] = ids[k] == own ? 1.0F : 0.0F;
  if (b.positive_pairs != nullptr) {
    for (int64_t k = 0; k < std::min(kSupConColumns, b.rows - first); ++k) {
      const bool is_column = pairs.contrast[static_cast<std::size_t>(first + k)] == 0;
      const bool listed = b.positive_pairs[i % b.images * b.images + (first + k) % b.images] != 0;
      out[k] = is_column && listed ? 1.0F : 0.0F;
    }
  }
  if (i >= first && i < first + kSupConColumns) out[i - first] = 0;
}

void supcon_rows_with_positive(const SupConBatch<float>& b, const SupConPairs& pairs, int64_t i,
                               int64_t first, float* out) {
  const float* ids = pairs.anchor_id.data() + first;
  const float own = pairs.column_id[static_cast<std::size_t>(i)];
  for (int64_t k = 0; k < kSupConColumns; ++k) out[k] = ids[k] == own ? 1.0F : 0.0F;
  if (b.positive_pairs != nullptr) {
    const bool is_column = pairs.contrast[static_cast<std::size_t>(i)] == 0;
    for (int64_t k = 0; k < std::min(kSupConColumns, b.rows - first); ++k) {
      const bool listed = b.positive_pairs[(first + k) % b.images * b.images + i % b.images] != 0;
      out[k] = is_column && listed ? 1.0F : 0.0F;
    }
  }
  if (i >= first && i < first + kSupConColumns) out[i - first] = 0;
}

}  // namespace mt
