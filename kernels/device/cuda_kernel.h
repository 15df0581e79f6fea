#pragma once
// The CUDA body of kernels/device/kernel.h.

#include <cuda_runtime.h>

#include <cstdint>
#include <type_traits>

#include "kernels/device/launch.h"
#include "tensor/device.h"

#define SHARED(T, name, N) __shared__ T name[N]
#define DYN_SHARED(T, name)                                           \
  extern __shared__ __align__(128) unsigned char mt_dynamic_shared[]; \
  T* const name = reinterpret_cast<T*>(mt_dynamic_shared)

namespace mt::cuda_backend {

inline constexpr Device kDevice = Device::cuda;

/// Queues the kernel. Throws Error with its name and configuration when the launch is refused; what goes
/// wrong while it runs is thrown by the next copy or synchronize().
template <auto kKernel, typename... Args>
void launch(Extent grid, Extent block, int64_t shared_bytes, Stream stream, Args... args) {
  const LaunchConfig config{kernel_signature<kKernel>(), grid, block, shared_bytes, stream};
  check_launch(config);
  const auto size = [](Extent e) {
    return dim3(static_cast<unsigned>(e.x), static_cast<unsigned>(e.y), static_cast<unsigned>(e.z));
  };
  if (shared_bytes > kMaxStaticSharedBytes) {
    const cudaError_t status = cudaFuncSetAttribute(kKernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                    static_cast<int>(shared_bytes));
    if (status != cudaSuccess) fail_launch(config, cudaGetErrorString(status));
  }
  kKernel<<<size(grid), size(block), static_cast<std::size_t>(shared_bytes),
            reinterpret_cast<cudaStream_t>(stream)>>>(args...);
  const cudaError_t status = cudaGetLastError();
  if (status != cudaSuccess) fail_launch(config, cudaGetErrorString(status));
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

// Sums of floats must not depend on the order of threads: integers only.
template <typename T>
__device__ inline T atomic_add(T* target, T value) {
  static_assert(std::is_integral_v<T>);
  return atomicAdd(target, value);
}
template <typename T>
__device__ inline T atomic_min(T* target, T value) {
  static_assert(std::is_integral_v<T>);
  return atomicMin(target, value);
}
template <typename T>
__device__ inline T atomic_max(T* target, T value) {
  static_assert(std::is_integral_v<T>);
  return atomicMax(target, value);
}
template <typename T>
__device__ inline T atomic_exchange(T* target, T value) {
  static_assert(std::is_integral_v<T>);
  return atomicExch(target, value);
}
template <typename T>
__device__ inline T atomic_cas(T* target, T expected, T value) {
  static_assert(std::is_integral_v<T>);
  return atomicCAS(target, expected, value);
}

template <typename T>
__device__ inline T ldg(const T* pointer) {
  return __ldg(pointer);
}
template <typename Vector, typename T>
__device__ inline Vector load_vector(const T* pointer) {
  return *reinterpret_cast<const Vector*>(pointer);
}
template <typename Vector, typename T>
__device__ inline void store_vector(T* pointer, const Vector& value) {
  *reinterpret_cast<Vector*>(pointer) = value;
}

}  // namespace simt
}  // namespace mt::cuda_backend
