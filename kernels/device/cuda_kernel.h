#pragma once
// The CUDA body of kernels/device/kernel.h.

#include <cuda_runtime.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "kernels/device/launch.h"
#include "tensor/device.h"

// Aligned for 16-byte copies and matrix fragments whatever T is, as on the SIMT machine.
#define SHARED(T, name, N) __shared__ __align__(128) T name[N]
#define DYN_SHARED(T, name)                                           \
  extern __shared__ __align__(128) unsigned char mt_dynamic_shared[]; \
  T* const name = reinterpret_cast<T*>(mt_dynamic_shared)

namespace mt::cuda_backend {

inline constexpr Device kDevice = Device::cuda;

/// Queues the kernel. Throws Error with its name and configuration when the launch is refused; what goes
/// wrong while it runs is thrown by the next launch, copy or synchronize(), whichever comes first.
template <auto kKernel, typename... Args>
void launch(Extent grid, Extent block, int64_t shared_bytes, Stream stream, Args... args) {
  const LaunchConfig config{kernel_signature<kKernel>(), grid, block, shared_bytes, stream};
  check_launch(config);
  const auto size = [](Extent e) {
    return dim3(static_cast<unsigned>(e.x), static_cast<unsigned>(e.y), static_cast<unsigned>(e.z));
  };
  // Static and dynamic shared memory together may pass 48 KiB only with the kernel's leave.
  static std::atomic<int64_t> granted{0};
  if (shared_bytes > granted) {
    const cudaError_t status = cudaFuncSetAttribute(kKernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                    static_cast<int>(shared_bytes));
    if (status != cudaSuccess) fail_queued(config, cudaGetErrorString(status));
    granted = shared_bytes;
  }
  kKernel<<<size(grid), size(block), static_cast<std::size_t>(shared_bytes),
            reinterpret_cast<cudaStream_t>(stream)>>>(args...);
  const cudaError_t status = cudaGetLastError();
  if (status != cudaSuccess) fail_queued(config, cudaGetErrorString(status));
}

namespace simt {

inline constexpr unsigned kFullMask = 0xffffffffU;

__device__ inline unsigned lane() {
  return threadIdx.x % 32;
}
__device__ inline unsigned warp() {
  return threadIdx.x / 32;
}

__device__ inline void sync_threads() {
  __syncthreads();
}
__device__ inline void sync_warp(unsigned mask) {
  __syncwarp(mask);
}

template <typename T>
__device__ inline T shuffle(unsigned mask, T value, unsigned source) {
  return __shfl_sync(mask, value, static_cast<int>(source));
}
template <typename T>
__device__ inline T shuffle_xor(unsigned mask, T value, unsigned bits) {
  return __shfl_xor_sync(mask, value, static_cast<int>(bits));
}
template <typename T>
__device__ inline T shuffle_down(unsigned mask, T value, unsigned lanes) {
  return __shfl_down_sync(mask, value, lanes);
}
template <typename T>
__device__ inline T shuffle_up(unsigned mask, T value, unsigned lanes) {
  return __shfl_up_sync(mask, value, lanes);
}

__device__ inline unsigned ballot(unsigned mask, bool condition) {
  return __ballot_sync(mask, condition);
}
__device__ inline bool any(unsigned mask, bool condition) {
  return __any_sync(mask, condition) != 0;
}
__device__ inline bool all(unsigned mask, bool condition) {
  return __all_sync(mask, condition) != 0;
}

__device__ inline unsigned lanes_below() {
  return (1U << lane()) - 1;
}

// Sums of floats must not depend on the order of threads: integers only. CUDA's 64-bit atomics know
// (unsigned) long long, which is not int64_t.
template <typename T>
struct AtomicWord {
  static_assert(std::is_integral_v<T> && (sizeof(T) == 4 || sizeof(T) == 8));
  using Unsigned = std::conditional_t<sizeof(T) == 8, unsigned long long, unsigned>;
  using Signed = std::conditional_t<sizeof(T) == 8, long long, int>;
  using Ordered = std::conditional_t<std::is_signed_v<T>, Signed, Unsigned>;
};
template <typename Word, typename T>
__device__ inline Word* as_word(T* target) {
  return reinterpret_cast<Word*>(target);
}

template <typename T>
__device__ inline T atomic_add(T* target, T value) {
  using Word = typename AtomicWord<T>::Unsigned;  // wraps: the same bits for signed numbers
  return static_cast<T>(atomicAdd(as_word<Word>(target), static_cast<Word>(value)));
}
template <typename T>
__device__ inline T atomic_min(T* target, T value) {
  using Word = typename AtomicWord<T>::Ordered;
  return static_cast<T>(atomicMin(as_word<Word>(target), static_cast<Word>(value)));
}
template <typename T>
__device__ inline T atomic_max(T* target, T value) {
  using Word = typename AtomicWord<T>::Ordered;
  return static_cast<T>(atomicMax(as_word<Word>(target), static_cast<Word>(value)));
}
template <typename T>
__device__ inline T atomic_or(T* target, T value) {
  using Word = typename AtomicWord<T>::Unsigned;
  return static_cast<T>(atomicOr(as_word<Word>(target), static_cast<Word>(value)));
}
template <typename T>
__device__ inline T atomic_exchange(T* target, T value) {
  using Word = typename AtomicWord<T>::Unsigned;
  return static_cast<T>(atomicExch(as_word<Word>(target), static_cast<Word>(value)));
}
template <typename T>
__device__ inline T atomic_cas(T* target, T expected, T value) {
  using Word = typename AtomicWord<T>::Unsigned;
  return static_cast<T>(
      atomicCAS(as_word<Word>(target), static_cast<Word>(expected), static_cast<Word>(value)));
}

template <typename T>
__device__ inline int popcount(T word) {
  static_assert(std::is_integral_v<T> && (sizeof(T) == 4 || sizeof(T) == 8));
  if constexpr (sizeof(T) == 8) {
    return __popcll(static_cast<unsigned long long>(word));
  } else {
    return __popc(static_cast<unsigned>(word));
  }
}
template <typename T>
__device__ inline int count_leading_zeros(T word) {
  static_assert(std::is_integral_v<T> && (sizeof(T) == 4 || sizeof(T) == 8));
  if constexpr (sizeof(T) == 8) {
    return __clzll(static_cast<long long>(word));
  } else {
    return __clz(static_cast<int>(word));
  }
}
template <typename T>
__device__ inline int find_first_set(T word) {
  static_assert(std::is_integral_v<T> && (sizeof(T) == 4 || sizeof(T) == 8));
  if constexpr (sizeof(T) == 8) {
    return __ffsll(static_cast<long long>(word));
  } else {
    return __ffs(static_cast<int>(word));
  }
}
__device__ inline uint32_t bits_of(float value) {
  return __float_as_uint(value);
}
__device__ inline float float_of(uint32_t bits) {
  return __uint_as_float(bits);
}
__device__ inline float multiply_rounded(float a, float b) {
  return __fmul_rn(a, b);
}
__device__ inline double multiply_rounded(double a, double b) {
  return __dmul_rn(a, b);
}
__device__ inline float add_rounded(float a, float b) {
  return __fadd_rn(a, b);
}

struct bfloat16 {
  uint16_t bits;
};
__device__ inline bfloat16 to_bfloat16(float value) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  bfloat16 rounded;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(rounded.bits) : "f"(value));
  return rounded;
#else
  const uint32_t bits = bits_of(value);
  if (value != value) return {static_cast<uint16_t>(0x7fff)};
  return {static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
#endif
}
__device__ inline float to_float(bfloat16 value) {
  return float_of(static_cast<uint32_t>(value.bits) << 16);
}
__device__ inline float to_tf32(float value) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  uint32_t rounded;
  asm("cvt.rn.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(value));  // one instruction; cvt.rna is three
  return float_of(rounded);
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  uint32_t rounded;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(value));
  return float_of(rounded);
#else
  const uint32_t bits = bits_of(value);
  if ((bits & 0x7f800000U) == 0x7f800000U) return value;  // infinities and NaN
  return float_of((bits + 0x1000U) & ~0x1fffU);
#endif
}

template <typename T>
__device__ inline T ldg(const T* pointer) {
  return __ldg(pointer);
}
template <typename Vector, typename T>
__device__ inline Vector load_vector(const T* pointer) {
  return *reinterpret_cast<const Vector*>(pointer);
}
/// In so many words: of a struct of four floats nvcc makes four stores of 4 bytes.
template <typename Vector, typename T>
__device__ inline void store_vector(T* pointer, const Vector& value) {
  constexpr int kWords = sizeof(Vector) / 4;
  if constexpr (sizeof(Vector) % 16 == 0) {
    uint32_t word[kWords];
    memcpy(word, &value, sizeof(Vector));
    const auto global = __cvta_generic_to_global(pointer);
#pragma unroll
    for (int i = 0; i < kWords; i += 4) {
      asm volatile("st.global.v4.b32 [%0], {%1, %2, %3, %4};" ::"l"(global + 4 * i), "r"(word[i]),
                   "r"(word[i + 1]), "r"(word[i + 2]), "r"(word[i + 3])
                   : "memory");
    }
  } else if constexpr (sizeof(Vector) == 8) {
    uint32_t word[2];
    memcpy(word, &value, sizeof(Vector));
    asm volatile("st.global.v2.b32 [%0], {%1, %2};" ::"l"(__cvta_generic_to_global(pointer)), "r"(word[0]),
                 "r"(word[1])
                 : "memory");
  } else {
    static_assert(sizeof(Vector) <= 4);
    *reinterpret_cast<Vector*>(pointer) = value;
  }
}
template <typename Vector, typename T>
__device__ inline void store_shared_vector(T* pointer, const Vector& value) {
  *reinterpret_cast<Vector*>(pointer) = value;
}

template <int kBytes, typename T>
__device__ inline void copy_async(T* target, const T* source, bool valid = true) {
  static_assert(kBytes == 4 || kBytes == 8 || kBytes == 16);
  static_assert(kBytes % sizeof(T) == 0);
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  const auto shared = static_cast<unsigned>(__cvta_generic_to_shared(target));
  const auto global = __cvta_generic_to_global(source);
  const int source_bytes = valid ? kBytes : 0;  // the rest of the target becomes 0
  if constexpr (kBytes == 16) {                 // past the L1 cache
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared), "l"(global), "r"(source_bytes)
                 : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(shared), "l"(global), "n"(kBytes),
                 "r"(source_bytes)
                 : "memory");
  }
#else
  constexpr int kElements = kBytes / sizeof(T);
  for (int i = 0; i < kElements; ++i) target[i] = valid ? source[i] : T{};
#endif
}
__device__ inline void commit_async() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}
template <int kPending>
__device__ inline void wait_async() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
#endif
}

}  // namespace simt
}  // namespace mt::cuda_backend
