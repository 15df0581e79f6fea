#pragma once
// The SIMT machine's body of kernels/device/kernel.h.

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "kernels/device/launch.h"
#include "kernels/simt/machine.h"
#include "kernels/simt/memory_guard.h"
#include "kernels/simt/race_check.h"
#include "tensor/device.h"
#include "tensor/sanitizers.h"

// CUDA's own words, which g++ and clang do not know.
// NOLINTBEGIN(bugprone-reserved-identifier)
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
// NOLINTEND(bugprone-reserved-identifier)

// The tag's address tells one declaration from another, also between instances of a template.
#define SHARED(T, name, N)                                       \
  static constinit char mt_tag_##name = 0;                       \
  T(&name)                                                       \
  [N] = *static_cast<T(*)[N]>(::mt::simt_machine::static_shared( \
      &mt_tag_##name, sizeof(T) * (N), ::mt::simt_backend::kPoison<T>, {__FILE__, __LINE__}))
#define DYN_SHARED(T, name) \
  T* const name = static_cast<T*>(::mt::simt_machine::dynamic_shared(::mt::simt_backend::kPoison<T>))

// What reads or writes memory for a kernel keeps a frame of its own under TSan, so that the kernel's line
// stands in its report.
#if MT_THREAD_SANITIZER
#define MT_OWN_FRAME __attribute__((noinline))
#else
#define MT_OWN_FRAME
#endif

namespace mt::simt_backend {

using simt_machine::blockDim;
using simt_machine::blockIdx;
using simt_machine::gridDim;
using simt_machine::threadIdx;

inline constexpr Device kDevice = Device::simt;

/// Shared memory before anybody has written it: NaN for floating types, a large number for integers.
template <typename T>
inline constexpr unsigned char kPoison = std::is_integral_v<T> ? 0x7B : 0xFF;

struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(8) int2 {
  int x, y;
};
struct alignas(16) int4 {
  int x, y, z, w;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};

/// What a kernel could go to through this argument.
template <typename T>
const void* address_or_null(T argument) {
  if constexpr (std::is_pointer_v<T>) return argument;
  return nullptr;
}

/// Runs the kernel to its end. Throws Error at the first fault.
template <auto kKernel, typename... Args>
void launch(Extent grid, Extent block, int64_t shared_bytes, Stream stream, Args... args) {
  const auto call = [&] { kKernel(args...); };
  const LaunchConfig config{kernel_signature<kKernel>(), grid, block, shared_bytes, stream};
  if (simt_machine::memory_guard_is_on()) {
    (simt_machine::check_argument(config, address_or_null(args)), ...);
  }
  simt_machine::run(
      config, [](const void* context) { (*static_cast<const decltype(call)*>(context))(); }, &call);
}

namespace simt {

using simt_machine::SourceLine;
using simt_machine::WarpOperation;

inline constexpr unsigned kFullMask = 0xffffffffU;

inline unsigned lane() {
  return simt_machine::lane();
}
inline unsigned warp() {
  return simt_machine::warp();
}

inline unsigned lanes_below() {
  return (1U << lane()) - 1;
}

inline void sync_threads(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  simt_machine::wait_at_barrier({file, line});
}
inline void sync_warp(unsigned mask, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  simt_machine::warp_operation(WarpOperation::sync, mask, 0, 0, {file, line});
}

template <typename T>
T shuffle(unsigned mask, T value, unsigned source, const char* file = __builtin_FILE(),
          int line = __builtin_LINE()) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= sizeof(uint64_t));
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  bits = simt_machine::warp_operation(WarpOperation::shuffle, mask, bits, source % 32, {file, line});
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}
template <typename T>
T shuffle_xor(unsigned mask, T value, unsigned bits, const char* file = __builtin_FILE(),
              int line = __builtin_LINE()) {
  return shuffle(mask, value, lane() ^ bits, file, line);
}
template <typename T>
T shuffle_down(unsigned mask, T value, unsigned lanes, const char* file = __builtin_FILE(),
               int line = __builtin_LINE()) {
  return shuffle(mask, value, lane() + lanes < 32 ? lane() + lanes : lane(), file, line);
}
template <typename T>
T shuffle_up(unsigned mask, T value, unsigned lanes, const char* file = __builtin_FILE(),
             int line = __builtin_LINE()) {
  return shuffle(mask, value, lane() >= lanes ? lane() - lanes : lane(), file, line);
}

inline unsigned ballot(unsigned mask, bool condition, const char* file = __builtin_FILE(),
                       int line = __builtin_LINE()) {
  return static_cast<unsigned>(
      simt_machine::warp_operation(WarpOperation::ballot, mask, condition ? 1 : 0, 0, {file, line}));
}
inline bool any(unsigned mask, bool condition, const char* file = __builtin_FILE(),
                int line = __builtin_LINE()) {
  return ballot(mask, condition, file, line) != 0;
}
inline bool all(unsigned mask, bool condition, const char* file = __builtin_FILE(),
                int line = __builtin_LINE()) {
  return ballot(mask, condition, file, line) == mask;
}

/// Only one thread runs at a time: indivisible by construction. Others may come first, so the machine may
/// switch.
template <typename T, typename F>
MT_OWN_FRAME T atomic_update(T* target, const F& updated) {
  static_assert(std::is_integral_v<T> && (sizeof(T) == 4 || sizeof(T) == 8),
                "sums of floats must not depend on the order of threads: integers only");
  simt_machine::yield();
  const T before =
      __atomic_load_n(target, __ATOMIC_RELAXED);  // racecheck: orders nothing, races with no other
  __atomic_store_n(target, updated(before), __ATOMIC_RELAXED);
  return before;
}
template <typename T>
MT_OWN_FRAME T atomic_add(T* target, T value) {
  using Unsigned = std::make_unsigned_t<T>;  // wraps, as on the GPU
  return atomic_update(target, [=](T old) {
    return static_cast<T>(static_cast<Unsigned>(old) + static_cast<Unsigned>(value));
  });
}
template <typename T>
MT_OWN_FRAME T atomic_min(T* target, T value) {
  return atomic_update(target, [=](T old) { return value < old ? value : old; });
}
template <typename T>
MT_OWN_FRAME T atomic_max(T* target, T value) {
  return atomic_update(target, [=](T old) { return old < value ? value : old; });
}
template <typename T>
MT_OWN_FRAME T atomic_or(T* target, T value) {
  return atomic_update(target, [=](T old) { return static_cast<T>(old | value); });
}
template <typename T>
MT_OWN_FRAME T atomic_exchange(T* target, T value) {
  return atomic_update(target, [=](T) { return value; });
}
template <typename T>
MT_OWN_FRAME T atomic_cas(T* target, T expected, T value) {
  return atomic_update(target, [=](T old) { return old == expected ? value : old; });
}

template <typename T>
std::make_unsigned_t<T> unsigned_word(T word) {
  static_assert(std::is_integral_v<T> && (sizeof(T) == 4 || sizeof(T) == 8));
  return static_cast<std::make_unsigned_t<T>>(word);
}
template <typename T>
int popcount(T word) {
  return std::popcount(unsigned_word(word));
}
template <typename T>
int count_leading_zeros(T word) {
  return std::countl_zero(unsigned_word(word));
}
template <typename T>
int find_first_set(T word) {
  return word == 0 ? 0 : 1 + std::countr_zero(unsigned_word(word));
}
inline uint32_t bits_of(float value) {
  return std::bit_cast<uint32_t>(value);
}
inline float float_of(uint32_t bits) {
  return std::bit_cast<float>(bits);
}
// This copy is compiled without contraction: every operation is rounded by itself.
inline float multiply_rounded(float a, float b) {
  return a * b;
}
inline double multiply_rounded(double a, double b) {
  return a * b;
}
inline float add_rounded(float a, float b) {
  return a + b;
}

struct bfloat16 {
  uint16_t bits;
};
inline bfloat16 to_bfloat16(float value) {
  const uint32_t bits = bits_of(value);
  if (value != value) return {static_cast<uint16_t>(0x7fff)};
  return {static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}
inline float to_float(bfloat16 value) {
  return float_of(static_cast<uint32_t>(value.bits) << 16);
}
inline float to_tf32(float value) {
  const uint32_t bits = bits_of(value);
  if ((bits & 0x7f800000U) == 0x7f800000U) return value;  // infinities and NaN
  return float_of((bits + 0xfffU + (bits >> 13 & 1)) & ~0x1fffU);
}

template <typename T>
void require_aligned(const T* pointer, std::size_t bytes, const char* file, int line) {
  if (reinterpret_cast<std::uintptr_t>(pointer) % bytes != 0) {
    simt_machine::fault({file, line},
                        "misaligned vector access: the address must be a multiple of the vector's size");
  }
}
template <typename T>
MT_OWN_FRAME T ldg(const T* pointer, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  require_aligned(pointer, alignof(T), file, line);
  return *pointer;
}
template <typename Vector, typename T>
MT_OWN_FRAME Vector load_vector(const T* pointer, const char* file = __builtin_FILE(),
                                int line = __builtin_LINE()) {
  require_aligned(pointer, sizeof(Vector), file, line);
  simt_machine::observe_read(pointer, sizeof(Vector));  // TSan does not see every memcpy
  Vector value;
  std::memcpy(&value, pointer, sizeof(Vector));
  return value;
}
template <typename Vector, typename T>
MT_OWN_FRAME void store_vector(T* pointer, const Vector& value, const char* file = __builtin_FILE(),
                               int line = __builtin_LINE()) {
  require_aligned(pointer, sizeof(Vector), file, line);
  if (simt_machine::in_shared_memory(pointer, 1))
    simt_machine::fault({file, line},
                        "store_vector writes global memory; here is shared memory: store_shared_vector");
  simt_machine::observe_write(pointer, sizeof(Vector));
  std::memcpy(pointer, &value, sizeof(Vector));
}
template <typename Vector, typename T>
MT_OWN_FRAME void store_shared_vector(T* pointer, const Vector& value, const char* file = __builtin_FILE(),
                                      int line = __builtin_LINE()) {
  require_aligned(pointer, sizeof(Vector), file, line);
  if (!simt_machine::in_shared_memory(pointer, 1))
    simt_machine::fault({file, line}, "store_shared_vector writes outside of the block's shared memory");
  simt_machine::observe_write(pointer, sizeof(Vector));
  std::memcpy(pointer, &value, sizeof(Vector));
}

template <int kBytes, typename T>
MT_OWN_FRAME void copy_async(T* target, const T* source, bool valid = true,
                             const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  static_assert(kBytes == 4 || kBytes == 8 || kBytes == 16);
  static_assert(kBytes % sizeof(T) == 0);
  require_aligned(target, kBytes, file, line);
  require_aligned(source, kBytes, file, line);
  simt_machine::copy_async(target, source, kBytes, valid, kPoison<T>, {file, line});
}
inline void commit_async() {
  simt_machine::commit_async();
}
template <int kPending>
MT_OWN_FRAME void wait_async(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  static_assert(kPending >= 0);
  simt_machine::wait_async(kPending, {file, line});
}

}  // namespace simt
}  // namespace mt::simt_backend
