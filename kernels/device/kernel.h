#pragma once
// What a .cu file includes: the dialect of the kernels. nvcc gets the CUDA body, any other compiler the SIMT
// machine's.
//
// clang-format off
//   namespace mt::MT_BACKEND {                      cuda_backend or simt_backend, so that both copies link into one program
//   __global__ void scale(float* x, int64_t n) {…}
//   launch<scale>(grid, block, shared_bytes, stream, x, n);       instead of scale<<<…>>>; names the kernel in errors
//   kDevice                                         Device::cuda or Device::simt
//
//   Shared memory
//     SHARED(T, name, N)                            T name[N]
//     DYN_SHARED(T, name)                           T* name: the launch's shared_bytes
//   Threads
//     simt::sync_threads()                          barrier of the block: orders its memory
//     simt::sync_warp(mask)                         barrier of the lanes in mask: orders their memory
//     simt::lane()  warp()  lanes_below()           of this thread, in one-dimensional blocks; mask of the lanes before it
//   Warp operations: all lanes in mask must come to the same line. They order no memory: sync_warp does.
//     simt::shuffle(mask, value, lane)  shuffle_xor(mask, value, bits)
//     simt::shuffle_down  shuffle_up(mask, value, lanes)
//     simt::ballot(mask, condition)  any  all
//   Atomics: 32- and 64-bit integers, relaxed; they give the value before
//     simt::atomic_add  atomic_min  atomic_max  atomic_or  atomic_exchange(pointer, value)
//     simt::atomic_cas(pointer, expected, value)
//   Bits
//     simt::popcount(word)  count_leading_zeros  find_first_set (1 is the lowest bit, 0 is none)     32 or 64 bits
//     simt::bits_of(float)  float_of(uint32_t)      the same 32 bits
//     simt::multiply_rounded(a, b)  add_rounded     rounded by themselves: never fused into a multiply-add
//     simt::bfloat16  to_bfloat16(float)  to_float(bfloat16)         round to nearest even; NaN stays NaN
//     simt::to_tf32(float)                          10 bits of mantissa, nearest; ties to even, but on sm_80 to sm_89,
//                                                   whose instruction is another, away from zero
//   Memory
//     simt::ldg(pointer)                            load of memory that no thread writes during the launch
//     simt::load_vector<float4>(pointer)            one access; pointer aligned to the vector's size
//     simt::store_vector(pointer, vector)           the same, to global memory: vectors of 1, 2, 4, 8 or 16 n bytes
//     simt::store_shared_vector(pointer, vector)    the same, to shared memory
//   Asynchronous copies into shared memory (cp.async; plain copies below sm_80)
//     simt::copy_async<16>(target, source, valid)   16, 8 or 4 bytes, both pointers aligned to it; zeros unless valid
//     simt::commit_async()                          closes this thread's group of copies
//     simt::wait_async<kPending>()                  all of this thread's groups are there but the kPending newest.
//                                                   Other threads see them behind a barrier that follows.
//   Matrix fragments (tensor cores): kernels/device/fragment.h
// clang-format on
//
// Nobody returns before a barrier; no atomics on floats; no cooperative groups.

#ifdef __CUDACC__
#define MT_BACKEND cuda_backend
#include "kernels/device/cuda_kernel.h"
#else
#define MT_BACKEND simt_backend
#include "kernels/simt/kernel.h"
#endif
