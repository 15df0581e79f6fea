#pragma once
// The only door to threads for computation. Work is split over outputs, never over a sum, so that results are
// bitwise the same for any number of threads.

#include <cstdint>
#include <functional>

namespace mt {

/// More threads than this are never made: each has a stack, and libgomp ends the process where there is no
/// room.
inline constexpr int kMostThreads = 1024;

/// Threads that parallel_for uses, kMostThreads at most: set_thread_count(), else OMP_NUM_THREADS, else the
/// machine's cores.
int thread_count();
void set_thread_count(int threads);

/// Calls body(begin, end) for consecutive ranges of at most `grain` items that cover [0, items), each once,
/// from several threads in no particular order. An exception in a range is rethrown here. Runs serially when
/// called from within itself.
void parallel_for(int64_t items, int64_t grain, const std::function<void(int64_t, int64_t)>& body);

}  // namespace mt
