#pragma once
// How a kernel tells the host that a check fails: kernels/device/queued_check.h. Included by .cu files only.

#include <cstdint>

#include "kernels/device/kernel.h"
#include "kernels/device/queued_check.h"

namespace mt::MT_BACKEND {

/// The check fails at this index, below 2^44. Of all reports to the word the first check's smallest index
/// stays.
__device__ inline void report(const FailureWord& word, int64_t index) {
  simt::atomic_min(word.first, word.check | static_cast<FailureBits>(index));
}

/// Whether any check of the stream has failed in a launch before this one: for kernels that must then leave
/// memory alone.
__device__ inline bool has_failed(const FailureWord& word) {
  return *word.first != kNoFailure;
}

}  // namespace mt::MT_BACKEND
