#pragma once
// What the fast SupCon versions prepare of a batch: padded rules of the pairs, and z packed in the order of
// the tiles.

#include <cstdint>
#include <vector>

#include "kernels/supcon/supcon.h"

namespace mt {

/// Columns that are handled together; rows of one task. Fixed, since they decide the order of the sums.
inline constexpr int64_t kSupConColumns = 128;
inline constexpr int64_t kSupConRows = 48;

/// Which pairs count, in numbers that SIMD can compare. All arrays are padded to a multiple of
/// kSupConColumns.
struct SupConPairs {
  std::vector<float> contrast;   // (columns): 0 where j may be in A(i), −inf where it never is
  std::vector<float> anchor_id;  // (columns): the label's number, −2 where the row can have no positives
  std::vector<float> column_id;  // (columns): the label's number, −1 where the row can be no positive
};
/// Throws when the batch breaks the contract.
void check_supcon(const SupConBatch<float>& batch);
/// Checks the batch first.
SupConPairs supcon_pairs(const SupConBatch<float>& batch);

int64_t supcon_padded_rows(const SupConBatch<float>& batch);
/// z as panels of 16 rows, transposed: (padded rows / 16, width, 16), for s = z zᵀ.
std::vector<float> supcon_row_panels(const SupConBatch<float>& batch);
/// z as panels of 16 of its columns, for dz = g z: (padded rows / 128, ⌈width / 16⌉, 128, 16).
std::vector<float> supcon_width_panels(const SupConBatch<float>& batch);

/// Fills out[k] with 1 where column first + k is a positive of row i, else 0; out: (kSupConColumns).
void supcon_positives_of_row(const SupConBatch<float>& batch, const SupConPairs& pairs, int64_t i,
                             int64_t first, float* out);
/// Fills out[k] with 1 where i is a positive of row first + k, else 0.
void supcon_rows_with_positive(const SupConBatch<float>& batch, const SupConPairs& pairs, int64_t i,
                               int64_t first, float* out);

}  // namespace mt
