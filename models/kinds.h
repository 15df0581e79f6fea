#pragma once
// What networks can be chosen among, for those who choose and build none: no heavy headers.

#include <cstdint>

namespace mt {

enum class NormKind : uint8_t {
  instance,         // InstanceNorm2d: no parameters, no running statistics
  instance_affine,  // InstanceNorm2d(affine=True)
  batch             // BatchNorm2d
};

/// Where BatchNorm takes its statistics from.
enum class BatchStatistics : uint8_t {
  frozen,  // the running ones, which stay as they are: PyTorch's eval mode
  batch    // the batch's, and the running ones follow: PyTorch's train mode
};

enum class MilKind : uint8_t {
  dsmil,  // DSMIL (Li, Li and Eliceiri, CVPR 2021)
  abmil,  // gated attention (Ilse, Tomczak and Welling, ICML 2018)
  mean,   // a linear classifier on every instance, and the mean of its logits
  max     // … or their maximum
};

}  // namespace mt
