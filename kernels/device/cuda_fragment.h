#pragma once
// The CUDA body of kernels/device/fragment.h: nvcuda::wmma behind our names.

#include <cuda_bf16.h>
#include <mma.h>

#include "kernels/device/cuda_kernel.h"

// The host's pass sees sm_80's types, as wmma itself has it.
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
#define MT_TENSOR_CORES 1
#else
#define MT_TENSOR_CORES 0
#endif

namespace mt::cuda_backend::simt {

enum class Layout : int { row_major, column_major };

struct Tf32 {
  using Element = float;
  static constexpr int kDepth = 8;
#if MT_TENSOR_CORES
  using Native = nvcuda::wmma::precision::tf32;
#endif
};
struct Bf16 {
  using Element = bfloat16;
  static constexpr int kDepth = 16;
#if MT_TENSOR_CORES
  using Native = __nv_bfloat16;
#endif
};

#if MT_TENSOR_CORES
template <Layout kLayout>
using NativeLayout =
    std::conditional_t<kLayout == Layout::row_major, nvcuda::wmma::row_major, nvcuda::wmma::col_major>;
template <typename P, typename Use, Layout kLayout>
using NativeFragment =
    nvcuda::wmma::fragment<Use, 16, 16, P::kDepth, typename P::Native, NativeLayout<kLayout>>;
template <typename P>
using NativeAccumulator = nvcuda::wmma::fragment<nvcuda::wmma::accumulator, 16, 16, P::kDepth, float>;
using UseA = nvcuda::wmma::matrix_a;
using UseB = nvcuda::wmma::matrix_b;
#else
/// Stands where the hardware has no such fragment.
template <typename Element, int kElements>
struct Absent {
  static constexpr int num_elements = kElements;
  Element x[kElements];
};
template <typename P, typename Use, Layout kLayout>
using NativeFragment = Absent<typename P::Element, P::kDepth / 2>;
template <typename P>
using NativeAccumulator = Absent<float, 8>;
using UseA = void;
using UseB = void;
#endif

template <typename Native, typename Element>
struct Fragment {
  Native native;
  __device__ static constexpr int size() { return Native::num_elements; }
  __device__ Element& operator[](int i) { return reinterpret_cast<Element&>(native.x[i]); }
  __device__ const Element& operator[](int i) const { return reinterpret_cast<const Element&>(native.x[i]); }
};
template <typename P, Layout kLayout>
struct FragmentA : Fragment<NativeFragment<P, UseA, kLayout>, typename P::Element> {};  // (16, P::kDepth)
template <typename P, Layout kLayout>
struct FragmentB : Fragment<NativeFragment<P, UseB, kLayout>, typename P::Element> {};  // (P::kDepth, 16)
template <typename P>
struct Accumulator : Fragment<NativeAccumulator<P>, float> {};  // (16, 16)

template <typename Native, typename Element>
__device__ inline void fill(Fragment<Native, Element>& fragment, Element value) {
#pragma unroll
  for (int i = 0; i < fragment.size(); ++i) fragment[i] = value;
}

template <typename Native, typename Element>
__device__ inline void load_fragment(Fragment<Native, Element>& fragment, const Element* source,
                                     int leading_dimension) {
#if MT_TENSOR_CORES
  using Stored = std::conditional_t<std::is_same_v<Element, float>, float, __nv_bfloat16>;
  nvcuda::wmma::load_matrix_sync(fragment.native, reinterpret_cast<const Stored*>(source),
                                 static_cast<unsigned>(leading_dimension));
#else
  __trap();
#endif
}

template <typename P>
__device__ inline void load_accumulator(Accumulator<P>& c, const float* source, int leading_dimension) {
#if MT_TENSOR_CORES
  nvcuda::wmma::load_matrix_sync(c.native, source, static_cast<unsigned>(leading_dimension),
                                 nvcuda::wmma::mem_row_major);
#else
  __trap();
#endif
}

template <typename P>
__device__ inline void store_accumulator(float* target, const Accumulator<P>& c, int leading_dimension) {
#if MT_TENSOR_CORES
  nvcuda::wmma::store_matrix_sync(target, c.native, static_cast<unsigned>(leading_dimension),
                                  nvcuda::wmma::mem_row_major);
#else
  __trap();
#endif
}

template <typename Native>
__device__ inline void round_fragment(Fragment<Native, float>& fragment) {
#pragma unroll
  for (int i = 0; i < fragment.size(); ++i) fragment[i] = to_tf32(fragment[i]);
}

template <typename P, Layout kLayoutA, Layout kLayoutB>
__device__ inline void multiply_accumulate(Accumulator<P>& c, const FragmentA<P, kLayoutA>& a,
                                           const FragmentB<P, kLayoutB>& b) {
#if MT_TENSOR_CORES
  nvcuda::wmma::mma_sync(c.native, a.native, b.native, c.native);
#else
  __trap();
#endif
}

}  // namespace mt::cuda_backend::simt
