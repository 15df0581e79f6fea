#include "tensor/denormals.h"

#include <cstdint>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace mt {

void flush_denormals() {
#if defined(__x86_64__)
  constexpr unsigned kFlushResults = 1U << 15;
  constexpr unsigned kReadAsZero = 1U << 6;
  _mm_setcsr(_mm_getcsr() | kFlushResults | kReadAsZero);
#elif defined(__aarch64__)
  constexpr uint64_t kFlushToZero = uint64_t{1} << 24;
  uint64_t control = 0;
  asm volatile("mrs %0, fpcr" : "=r"(control));
  asm volatile("msr fpcr, %0" : : "r"(control | kFlushToZero));
#endif
}

}  // namespace mt
