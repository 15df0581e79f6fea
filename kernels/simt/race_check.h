#pragma once
// Racecheck: each CUDA thread is a fiber of ThreadSanitizer, and only what orders memory on a GPU orders it
// here: the start and end of a launch, barriers of the block, and sync_warp. Needs a build with
// -fsanitize=thread, in which the kernels are instrumented and the machine is not (MT_TSAN_RUNTIME: the
// runtime is there all the same).

#include <cstddef>
#include <string>
#include <vector>

#include "tensor/sanitizers.h"

#ifndef MT_TSAN_RUNTIME
#define MT_TSAN_RUNTIME MT_THREAD_SANITIZER
#endif

#if MT_TSAN_RUNTIME
extern "C" void __tsan_ignore_thread_begin();  // NOLINT(bugprone-reserved-identifier)
extern "C" void __tsan_ignore_thread_end();    // NOLINT(bugprone-reserved-identifier)
#endif

namespace mt::simt_machine {

inline constexpr bool kCanCheckRaces = MT_TSAN_RUNTIME != 0;

/// While one lives, TSan does not see the running fiber's allocations and library calls: the machine's own.
class Unobserved {
 public:
#if MT_TSAN_RUNTIME
  Unobserved() {
    __tsan_ignore_thread_begin();
  }
  ~Unobserved() {
    __tsan_ignore_thread_end();
  }
#else
  Unobserved() {}
  ~Unobserved() {}
#endif
  Unobserved(const Unobserved&) = delete;
  Unobserved& operator=(const Unobserved&) = delete;
};

/// Tells TSan of an access by the running fiber that the machine makes for it; 4, 8 or 16 bytes.
#if MT_TSAN_RUNTIME
void observe_read(const void* pointer, std::size_t bytes);
void observe_write(void* pointer, std::size_t bytes);
#else
inline void observe_read(const void*, std::size_t) {}
inline void observe_write(void*, std::size_t) {}
#endif

/// What any of these fibers of TSan did lies before what any of them does from now on: a barrier.
void order_all(const std::vector<void*>& fibers);
/// What these fibers did lies before what the running fiber does from now on.
void order_before_me(const std::vector<void*>& fibers);

/// TSan's reports from now on are kept, until the watch ends.
class RaceWatch {
 public:
  RaceWatch();
  ~RaceWatch();
  RaceWatch(const RaceWatch&) = delete;
  RaceWatch& operator=(const RaceWatch&) = delete;
  static bool found();
  /// Who did what at which source line, for both accesses of the first race.
  static std::string story();
};

}  // namespace mt::simt_machine
