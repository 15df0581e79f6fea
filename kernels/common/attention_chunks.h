#pragma once
// Softmax over the instances of a bag, split over fixed chunks that are merged in their order: how the
// attention pools (dsmil, gated_attention) use several threads and still give the same bits for any number of
// them.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "tensor/check.h"

namespace mt {

/// Instances of a bag that one task handles; part of the result's rounding, so never a function of the
/// machine.
inline constexpr int64_t kAttentionChunk = 512;

/// One chunk's part of the softmax of one class: relative to the chunk's own largest logit.
struct AttentionPart {
  float largest = -HUGE_VALF;
  double sum = 0;        // of exp(logit − largest)
  int64_t nan_row = -1;  // the first row with a NaN logit
};

/// The whole softmax: attention = exp(logit − largest) / sum.
struct AttentionTotal {
  float largest = -HUGE_VALF;
  double sum = 0;
};

/// parts: (chunks, classes). Throws where a logit was NaN.
inline AttentionTotal merge_parts(const std::vector<AttentionPart>& parts, int64_t classes, int64_t c,
                                  const char* operation) {
  AttentionTotal total;
  const std::size_t step = static_cast<std::size_t>(classes);
  for (std::size_t i = static_cast<std::size_t>(c); i < parts.size(); i += step) {
    check(parts[i].nan_row < 0, "{}: the attention logit of instance {} is NaN", operation, parts[i].nan_row);
    total.largest = std::max(total.largest, parts[i].largest);
  }
  for (std::size_t i = static_cast<std::size_t>(c); i < parts.size(); i += step) {
    total.sum +=
        parts[i].sum * std::exp(static_cast<double>(parts[i].largest) - static_cast<double>(total.largest));
  }
  return total;
}

}  // namespace mt
