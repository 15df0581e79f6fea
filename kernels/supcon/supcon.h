#pragma once
// Supervised contrastive loss without the rows × rows matrix. Math, error bound and cost: supcon.md.

#include <cstdint>

#include "kernels/common/stream.h"
#include "tensor/device.h"

namespace mt {

/// Which pairs of the same label count as positives. Labels of 0 are negatives, all others positives.
enum class PairMode : uint8_t { all, positives, negatives };

/// One batch of L2-normalised rows and the rules that pair them. With s_ij = z_i·z_j / temperature:
///   A(i) = every column j but i itself and but the uncertain ones: the contrast of anchor i
///   P(i) = columns in A(i) that are positives of i
///   loss = mean over anchors of −(temperature / base_temperature) · mean over p in P(i) of (s_ip − lse_i),
///   lse_i = log sum over A(i) of exp(s_ia), plus 1e-10 inside the log when `uncertain` is given.
/// An anchor without positives contributes 0 to the sum and still counts in the mean.
/// For SimCLR's NT-Xent the labels are the images' numbers.
template <typename T>
struct SupConBatch {
  const T* z = nullptr;                     // (rows, width)
  const int32_t* labels = nullptr;          // (rows); null only with positive_pairs
  const uint8_t* uncertain = nullptr;       // (rows) or null; nonzero: never a column, still an anchor
  const uint8_t* positive_pairs = nullptr;  // (images, images) or null: (a,b) nonzero = b is a positive of a
  int64_t images = 0;                       // with positive_pairs: row r shows image r % images
  int64_t rows = 0;
  int64_t anchors = 0;  // rows [0, anchors) are anchors: all of them, or one view of each image
  int64_t width = 0;
  PairMode pair_mode = PairMode::all;  // must be `all` with positive_pairs
  double temperature = 0.07;
  double base_temperature = 0.07;
  // A shard of the work: rows [shard_begin, shard_end) only; shard_end 0 stands for `rows`. All columns
  // count.
  int64_t shard_begin = 0;
  int64_t shard_end = 0;

  int64_t end() const { return shard_end == 0 ? rows : shard_end; }
  int64_t anchors_end() const { return end() < anchors ? end() : anchors; }
  bool is_whole() const { return shard_begin == 0 && end() == rows; }
};

/// Needs 1 <= anchors <= rows, width >= 1 and 0 <= shard_begin <= shard_end <= rows. NaN in z makes the loss
/// NaN. Memory O(rows · width). What a call writes for a row has the same bits whatever the shard.
template <typename T>
struct SupCon {
  /// lse, positive_sum (sum of s_ip over P(i)), positive_count (|P(i)|): (anchors), of which a shard writes
  /// its own. loss: (1), what mean() gives; a shard leaves it alone (null will do).
  void (*forward)(const SupConBatch<T>& batch, T* lse, T* positive_sum, int32_t* positive_count, T* loss,
                  Stream stream);
  /// loss: (1), from the statistics of all anchors. The shard does not matter.
  void (*mean)(const SupConBatch<T>& batch, const T* lse, const T* positive_sum,
               const int32_t* positive_count, T* loss, Stream stream);
  /// lse, positive_count: of all anchors. dloss: (1). dz: (rows, width), written in full, or a shard's rows
  /// of it.
  void (*backward)(const SupConBatch<T>& batch, const T* lse, const int32_t* positive_count, const T* dloss,
                   T* dz, Stream stream);
};

template <typename T>
const SupCon<T>& supcon(Device device);
template <>
const SupCon<float>& supcon<float>(Device device);
template <>
const SupCon<double>& supcon<double>(Device device);

}  // namespace mt
