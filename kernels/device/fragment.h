#pragma once
// Matrix fragments: 16×16 products on tensor cores, spread over a warp. Which elements a lane holds is
// nobody's business but the hardware's. All 32 lanes come to every operation. sm_80 and later; below, the
// words compile and trap: the host never chooses such a kernel there.
//
// clang-format off
//   Precision            A        B        sums     inputs
//   Tf32                 (16,8)   (8,16)   (16,16)  float; round them with round_fragment or to_tf32 before multiplying
//   Bf16                 (16,16)  (16,16)  (16,16)  simt::bfloat16
//   Precision::kDepth    8 or 16: the inner dimension
//
//   simt::FragmentA<Precision, Layout>  simt::FragmentB<Precision, Layout>  simt::Accumulator<Precision>
//   simt::Layout::row_major  column_major             of the matrix in memory
//   simt::fill(fragment, value)
//   simt::load_fragment(a_or_b, pointer, leading_dimension)          from shared memory
//   simt::load_accumulator(c, pointer, leading_dimension)            from any memory, row major
//   simt::store_accumulator(pointer, c, leading_dimension)           row major; sync_warp before other lanes read it
//   simt::round_fragment(a_or_b)                      Tf32: each element to_tf32
//   simt::multiply_accumulate(c, a, b)                c += a·b, products exact, sums in float32
//   fragment.size()  fragment[i]                      the calling lane's elements: for maps that do not depend on the
//                                                     position. Fragments of one type hold the same positions.
// clang-format on
//
// Pointers are the same for all lanes and aligned to 16 bytes; leading dimensions count elements and are
// multiples of 16 bytes.

#include "kernels/device/kernel.h"

#ifdef __CUDACC__
#include "kernels/device/cuda_fragment.h"
#else
#include "kernels/simt/fragment.h"
#endif
