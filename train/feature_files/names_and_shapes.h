#pragma once
// What feature files of all kinds have in common: what features are called, and which shapes are taken.

#include <cstdint>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace mt::train {

/// Names under which features are looked for: `key` alone, or the usual ones.
std::vector<std::string> feature_names(const std::string& key);
/// Why a file with these names in it has no features, and what to do.
std::string no_features(const std::vector<std::string>& names, const std::string& key);

/// (1,N,D) and (N,1,D) as (N,D); another tensor as it is.
Tensor as_matrix(const Tensor& tensor);

/// (N,2) i64 of coordinates in any number type: (N,2), or (N,4) boxes by their upper left corner; fractions
/// are rounded. Undefined where they are something else, are not finite, or are not of `patches` patches.
Tensor usable_coords(const Tensor& coords, int64_t patches);

}  // namespace mt::train
