#include "tensor/parallel.h"

#include <omp.h>

#include <algorithm>
#include <exception>

namespace mt {

int thread_count() {
  return std::clamp(omp_get_max_threads(), 1, kMostThreads);
}

void set_thread_count(int threads) {
  omp_set_num_threads(std::clamp(threads, 1, kMostThreads));
}

void parallel_for(int64_t items, int64_t grain, const std::function<void(int64_t, int64_t)>& body) {
  grain = std::max<int64_t>(grain, 1);
  const int64_t ranges = (items + grain - 1) / grain;
  const int threads = thread_count();
  if (ranges <= 1 || omp_in_parallel() != 0 || threads == 1) {
    for (int64_t r = 0; r < ranges; ++r) body(r * grain, std::min(items, (r + 1) * grain));
    return;
  }
  std::exception_ptr error;
#pragma omp parallel for schedule(dynamic) num_threads(threads)
  for (int64_t r = 0; r < ranges; ++r) {
    try {
      body(r * grain, std::min(items, (r + 1) * grain));
    } catch (...) {
#pragma omp critical(microtome_parallel_for_error)
      if (!error) error = std::current_exception();
    }
  }
  if (error) std::rethrow_exception(error);
}

}  // namespace mt
