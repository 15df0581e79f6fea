#pragma once
// The CUDA body of kernels/device/fragment.h: mma.sync m16n8k8 (TF32) and m16n8k16 (bfloat16), two of them
// side by side for 16 columns, and ldmatrix for their operands. nvcuda::wmma has the same products, but nvcc
// makes generic loads and half as large multiplications of it.
//
// Who holds what (PTX ISA, "Matrix fragments for mma.m16n8k8" and the like): lane = 4 group + member. A: the
// four words are rows group and group + 8, then the same of the second half of the terms. B: two words of the
// left eight columns, column `group`, then two of the right ones. Sums: rows group and group + 8, columns 2
// member and the next, of the left eight columns and then of the right ones. A word is a float or two
// neighbouring bfloat16.

#include <cstring>

#include "kernels/device/cuda_kernel.h"

// The host's pass sees sm_80's words.
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
};
struct Bf16 {
  using Element = bfloat16;
  static constexpr int kDepth = 16;
};

/// The calling lane's share of a matrix.
template <typename Element, int kElements>
struct Fragment {
  alignas(4) Element element[kElements];
  __device__ static constexpr int size() { return kElements; }
  __device__ Element& operator[](int i) { return element[i]; }
  __device__ const Element& operator[](int i) const { return element[i]; }
};
template <typename P, Layout kLayout>
struct FragmentA : Fragment<typename P::Element, P::kDepth / 2> {};  // (16, P::kDepth)
template <typename P, Layout kLayout>
struct FragmentB : Fragment<typename P::Element, P::kDepth / 2> {};  // (P::kDepth, 16)
template <typename P>
struct Accumulator : Fragment<float, 8> {};  // (16, 16)

template <typename Element, int kElements>
__device__ inline void fill(Fragment<Element, kElements>& fragment, Element value) {
#pragma unroll
  for (int i = 0; i < kElements; ++i) fragment[i] = value;
}

__device__ inline int group_of_lane() {
  return static_cast<int>(lane()) / 4;
}
__device__ inline int member_of_group() {
  return static_cast<int>(lane()) % 4;
}

// ---- ldmatrix: four matrices of 8 rows of 16 bytes. Lanes 8 m … 8 m + 7 point to the rows of matrix m,
// whose word (group, member) becomes word m of each lane: of the column `group`, when transposed (2-byte
// elements only).

template <bool kTransposed, typename Element, int kElements>
__device__ inline void load_matrices(Fragment<Element, kElements>& fragment, const Element* row) {
  static_assert(kElements * sizeof(Element) == 16);
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 750
  const auto shared = static_cast<unsigned>(__cvta_generic_to_shared(row));
  uint32_t word[4];
  if constexpr (kTransposed) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(word[0]), "=r"(word[1]), "=r"(word[2]), "=r"(word[3])
                 : "r"(shared)
                 : "memory");
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(word[0]), "=r"(word[1]), "=r"(word[2]), "=r"(word[3])
                 : "r"(shared)
                 : "memory");
  }
  memcpy(fragment.element, word, sizeof(word));
#else
  __trap();
#endif
}

/// The offset of this lane's row: 8 × 16 bytes of the two matrices that follow each other come `first` apart,
/// those of the second pair `second`.
__device__ inline int matrix_row(int leading_dimension, int first, int second) {
  const int matrix = static_cast<int>(lane()) / 8;
  return static_cast<int>(lane()) % 8 * leading_dimension + matrix % 2 * first + matrix / 2 * second;
}

template <Layout kLayout>
__device__ inline void load_fragment(FragmentA<Tf32, kLayout>& a, const float* source,
                                     int leading_dimension) {
  if constexpr (kLayout == Layout::row_major) {
    load_matrices<false>(a, source + matrix_row(leading_dimension, 8 * leading_dimension, 4));
  } else {
    const float* mine = source + member_of_group() * leading_dimension + group_of_lane();
    a[0] = mine[0];
    a[1] = mine[8];
    a[2] = mine[4 * leading_dimension];
    a[3] = mine[4 * leading_dimension + 8];
  }
}
template <Layout kLayout>
__device__ inline void load_fragment(FragmentB<Tf32, kLayout>& b, const float* source,
                                     int leading_dimension) {
  if constexpr (kLayout == Layout::column_major) {
    load_matrices<false>(b, source + matrix_row(leading_dimension, 4, 8 * leading_dimension));
  } else {
    const float* mine = source + member_of_group() * leading_dimension + group_of_lane();
    b[0] = mine[0];
    b[1] = mine[4 * leading_dimension];
    b[2] = mine[8];
    b[3] = mine[4 * leading_dimension + 8];
  }
}
template <Layout kLayout>
__device__ inline void load_fragment(FragmentA<Bf16, kLayout>& a, const bfloat16* source,
                                     int leading_dimension) {
  if constexpr (kLayout == Layout::row_major) {
    load_matrices<false>(a, source + matrix_row(leading_dimension, 8 * leading_dimension, 8));
  } else {
    load_matrices<true>(a, source + matrix_row(leading_dimension, 8, 8 * leading_dimension));
  }
}
template <Layout kLayout>
__device__ inline void load_fragment(FragmentB<Bf16, kLayout>& b, const bfloat16* source,
                                     int leading_dimension) {
  if constexpr (kLayout == Layout::column_major) {
    load_matrices<false>(b, source + matrix_row(leading_dimension, 8, 8 * leading_dimension));
  } else {
    load_matrices<true>(b, source + matrix_row(leading_dimension, 8 * leading_dimension, 8));
  }
}

/// Calls f(i, address) for the calling lane's pairs of sums, i and i + 1.
template <typename T, typename F>
__device__ inline void for_pairs_of_sums(T* matrix, int leading_dimension, const F& f) {
  T* mine = matrix + group_of_lane() * leading_dimension + 2 * member_of_group();
#pragma unroll
  for (int i = 0; i < 8; i += 2) f(i, mine + i / 2 % 2 * 8 * leading_dimension + i / 4 * 8);
}
template <typename P>
__device__ inline void load_accumulator(Accumulator<P>& c, const float* source, int leading_dimension) {
  for_pairs_of_sums(source, leading_dimension, [&](int i, const float* from) {
    const float2 pair = *reinterpret_cast<const float2*>(from);
    c[i] = pair.x;
    c[i + 1] = pair.y;
  });
}
template <typename P>
__device__ inline void store_accumulator(float* target, const Accumulator<P>& c, int leading_dimension) {
  for_pairs_of_sums(target, leading_dimension, [&](int i, float* to) {
    *reinterpret_cast<float2*>(to) = float2{c[i], c[i + 1]};
  });
}

template <int kElements>
__device__ inline void round_fragment(Fragment<float, kElements>& fragment) {
#pragma unroll
  for (int i = 0; i < kElements; ++i) fragment[i] = to_tf32(fragment[i]);
}

// ---- Products

template <typename Element, int kElements>
__device__ inline uint32_t word_of(const Fragment<Element, kElements>& fragment, int i) {
  uint32_t word;
  memcpy(&word, fragment.element + i * 4 / static_cast<int>(sizeof(Element)), sizeof(word));
  return word;
}

template <typename P, Layout kLayoutA, Layout kLayoutB>
__device__ inline void multiply_accumulate(Accumulator<P>& c, const FragmentA<P, kLayoutA>& a,
                                           const FragmentB<P, kLayoutB>& b) {
#if MT_TENSOR_CORES
#pragma unroll
  for (int half = 0; half < 2; ++half) {  // of the columns
    float* sum = c.element + 4 * half;
    if constexpr (P::kDepth == 8) {
      asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
          "{%0, %1, %2, %3};"
          : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
          : "r"(word_of(a, 0)), "r"(word_of(a, 1)), "r"(word_of(a, 2)), "r"(word_of(a, 3)),
            "r"(word_of(b, 2 * half)), "r"(word_of(b, 2 * half + 1)));
    } else {
      asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
          "{%0, %1, %2, %3};"
          : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
          : "r"(word_of(a, 0)), "r"(word_of(a, 1)), "r"(word_of(a, 2)), "r"(word_of(a, 3)),
            "r"(word_of(b, 2 * half)), "r"(word_of(b, 2 * half + 1)));
    }
  }
#else
  __trap();
#endif
}

}  // namespace mt::cuda_backend::simt
