#pragma once
// simt's memory is the host's, so host code that reads it as if it were its own works on simt and crashes on
// a GPU, and so does a kernel that is given a pointer to the host's. Under the guard both are stopped here
// too: the memory can be touched while a kernel runs or a copy is made and at no other time, and the pointers
// that kernels are given lead there. It does not see pointers that are members of an argument.

#include <cstddef>

#include "kernels/device/launch.h"

namespace mt::simt_machine {

/// At first: whether MICROTOME_SIMT_GUARD is set. A touch by host code then ends the program with SIGSEGV,
/// and one line on stderr that says why. Not to be changed while an OpenMemory lives.
void set_memory_guard(bool on);
bool memory_guard_is_on();

/// Page-aligned bytes that can be guarded; null when there are no addresses left.
void* allocate_guarded(std::size_t bytes);
/// False when `pointer` did not come from allocate_guarded(); else its pages are given back.
bool deallocate_guarded(void* pointer, std::size_t bytes) noexcept;

/// Throws Error when a kernel's argument points elsewhere than into such memory; null is allowed.
void check_argument(const LaunchConfig& config, const void* argument);

/// Memory under the guard can be touched while one of these lives, by any thread. May be nested.
class OpenMemory {
 public:
  OpenMemory();
  ~OpenMemory();
  OpenMemory(const OpenMemory&) = delete;
  OpenMemory& operator=(const OpenMemory&) = delete;
};

}  // namespace mt::simt_machine
