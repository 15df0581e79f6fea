#pragma once
// The supervised contrastive loss as it is usually computed: with the whole (rows, rows) matrix of products
// in memory. The baseline of kernels/supcon/.

#include <cstdint>

#include "kernels/common/stream.h"
#include "tensor/device.h"

namespace mt::bench {

struct DenseSupCon {
  /// products: (rows, rows) = z zᵀ. lse, positive_sum, positive_count: (rows); positives share the label.
  void (*forward)(const float* products, const int32_t* labels, int64_t rows, float temperature, float* lse,
                  float* positive_sum, int32_t* positive_count, Stream stream);
  /// gradient: (rows, rows): d loss / d z = gradient · z. May alias products.
  void (*pair_gradient)(const float* products, const int32_t* labels, const float* lse,
                        const int32_t* positive_count, int64_t rows, float temperature, float* gradient,
                        Stream stream);
};

const DenseSupCon& dense_supcon(Device device);

}  // namespace mt::bench

// One table for each backend that the build has.
namespace mt::simt_backend {
extern const bench::DenseSupCon kDenseSupCon;
}
namespace mt::cuda_backend {
extern const bench::DenseSupCon kDenseSupCon;
}
