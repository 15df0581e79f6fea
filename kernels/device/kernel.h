#pragma once
// What a .cu file includes: the dialect of the kernels. nvcc gets the CUDA body, any other compiler the SIMT
// machine's.
//
//   namespace mt::MT_BACKEND {                     cuda_backend or simt_backend, so that both copies link
//   into one program
//   __global__ void scale(float* x, int64_t n) {…}
//   launch<scale>(grid, block, shared_bytes, stream, x, n);     instead of scale<<<…>>>; names the kernel in
//   errors SHARED(T, name, N)                             T name[N] in shared memory DYN_SHARED(T, name) T*
//   name: the launch's shared_bytes kDevice                                        Device::cuda or
//   Device::simt simt::sync_threads() sync_warp(mask)           barriers of the block, of a warp's lanes in
//   mask simt::lane() warp()                            of this thread, for one-dimensional blocks
//   simt::shuffle(mask, value, lane) shuffle_xor(mask, value, bits) shuffle_down shuffle_up(mask, value,
//   lanes) simt::ballot(mask, condition) any all simt::atomic_add atomic_min atomic_max
//   atomic_exchange(pointer, value) atomic_cas(pointer, expected, value): integers simt::ldg(pointer) load of
//   memory that no thread writes during the launch simt::load_vector<float4>(pointer) store_vector(pointer,
//   vector)    the pointer aligned to the vector's size
//
// Nobody returns before a barrier; no atomics on floats; no cooperative groups.

#ifdef __CUDACC__
#define MT_BACKEND cuda_backend
#include "kernels/device/cuda_kernel.h"
#else
#define MT_BACKEND simt_backend
#include "kernels/simt/kernel.h"
#endif
