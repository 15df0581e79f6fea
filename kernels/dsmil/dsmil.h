#pragma once
// DSMIL: the critical instance of each class, and attention pooling by its query. Math and cost: dsmil.md.

#include <cstdint>

#include "kernels/common/stream.h"
#include "tensor/device.h"

namespace mt {

/// Sizes of one bag. instances, classes, query_width, value_width >= 1.
struct DsmilShape {
  int64_t instances = 0;    // N
  int64_t classes = 0;      // C
  int64_t query_width = 0;  // Q
  int64_t value_width = 0;  // V
  double scale = 1;         // of the attention logits: 1/√Q
};

/// Source: Li, Li & Eliceiri, "Dual-stream Multiple Instance Learning Network …", CVPR 2021, equations 4
/// to 6. The attention of a class sums to 1, so a linear map of the values may be applied after pooling: pool
/// u (N,V) and map the (C,V) result, instead of mapping N rows.
template <typename T>
struct Dsmil {
  /// critical[c] = the smallest n with the largest logits[n,c]. logits: (N,C), critical: (C).
  /// NaN is an Error that names the row; 1 <= N.
  void (*critical_instances)(const T* logits, int64_t* critical, int64_t instances, int64_t classes,
                             Stream stream);
  /// attention[n,c] = softmax over n of scale · q[n]·q[critical[c]]; pooled[c] = sum over n of attention[n,c]
  /// values[n]. q: (N,Q), critical: (C), values: (N,V), attention: (N,C), pooled: (C,V).
  void (*forward)(const DsmilShape& shape, const T* q, const int64_t* critical, const T* values, T* attention,
                  T* pooled, Stream stream);
  /// dpooled: (C,V); dattention: (N,C) or null; dq: (N,Q), with what flows through the critical rows;
  /// dvalues: (N,V) or null. dq and dvalues are written in full.
  void (*backward)(const DsmilShape& shape, const T* q, const int64_t* critical, const T* values,
                   const T* attention, const T* dpooled, const T* dattention, T* dq, T* dvalues,
                   Stream stream);
};

template <typename T>
const Dsmil<T>& dsmil(Device device);
template <>
const Dsmil<float>& dsmil<float>(Device device);
template <>
const Dsmil<double>& dsmil<double>(Device device);

}  // namespace mt
