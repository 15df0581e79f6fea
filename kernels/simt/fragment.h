#pragma once
// The SIMT machine's body of kernels/device/fragment.h. Which elements a lane holds changes with the
// schedule: code that assumes a layout gives other results in another order.

#include "kernels/simt/fragment_product.h"
#include "kernels/simt/kernel.h"

namespace mt::simt_backend::simt {

using simt_machine::FragmentRole;

enum class Layout : int { row_major, column_major };

struct Tf32 {
  using Element = float;
  static constexpr int kDepth = 8;
};
struct Bf16 {
  using Element = bfloat16;
  static constexpr int kDepth = 16;
};

/// The calling lane's share of a (kRows, kColumns) matrix.
template <FragmentRole kRole, typename E, int kRows, int kColumns>
class Fragment {
 public:
  using Element = E;
  Fragment() { std::memset(elements_, 0xFF, sizeof(elements_)); }  // NaN until somebody writes it

  static constexpr int size() { return kRows * kColumns / 32; }
  Element& operator[](int i) { return elements_[i]; }
  const Element& operator[](int i) const { return elements_[i]; }

  /// Calls f(i, offset) for each element i of the calling lane: where in memory it stands.
  template <typename Use>
  static void for_elements(Layout layout, int leading_dimension, const Use& f) {
    const simt_machine::FragmentPermutation permutation = simt_machine::fragment_permutation(kRole);
    const int first = static_cast<int>(lane()) * size();
    for (int i = 0; i < size(); ++i) {
      const int position = permutation.position(first + i, kRows * kColumns);
      const int row = position / kColumns;
      const int column = position % kColumns;
      f(i, layout == Layout::row_major ? int64_t{row} * leading_dimension + column
                                       : int64_t{column} * leading_dimension + row);
    }
  }

 private:
  Element elements_[size()];
};

template <typename P, Layout kLayout_>
struct FragmentA : Fragment<FragmentRole::a, typename P::Element, 16, P::kDepth> {  // (16, P::kDepth)
  static constexpr Layout kLayout = kLayout_;
};
template <typename P, Layout kLayout_>
struct FragmentB : Fragment<FragmentRole::b, typename P::Element, P::kDepth, 16> {  // (P::kDepth, 16)
  static constexpr Layout kLayout = kLayout_;
};
template <typename P>
struct Accumulator : Fragment<FragmentRole::accumulator, float, 16, 16> {  // (16, 16)
  static constexpr Layout kLayout = Layout::row_major;
};

template <FragmentRole kRole, typename E, int kRows, int kColumns>
void fill(Fragment<kRole, E, kRows, kColumns>& fragment, E value) {
  for (int i = 0; i < fragment.size(); ++i) fragment[i] = value;
}

/// All lanes come here with the same matrix in memory; it orders no memory.
template <typename E>
void meet_at_matrix(const E* pointer, int leading_dimension, SourceLine where) {
  if (reinterpret_cast<std::uintptr_t>(pointer) % 16 != 0)
    simt_machine::fault(where, "a matrix fragment's address must be a multiple of 16 bytes");
  if (static_cast<std::size_t>(leading_dimension) * sizeof(E) % 16 != 0)
    simt_machine::fault(where, "a matrix fragment's leading dimension must be a multiple of 16 bytes");
  simt_machine::meet_at_matrix({pointer, leading_dimension, where});
}

template <typename F>
MT_OWN_FRAME void load_fragment(F& fragment, const typename F::Element* source, int leading_dimension,
                                const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  if (!simt_machine::in_shared_memory(source, 1))
    simt_machine::fault({file, line}, "load_fragment reads shared memory; its matrix lies elsewhere");
  meet_at_matrix(source, leading_dimension, {file, line});
  F::for_elements(F::kLayout, leading_dimension,
                  [&](int i, int64_t offset) { fragment[i] = source[offset]; });
}
template <typename P>
MT_OWN_FRAME void load_accumulator(Accumulator<P>& c, const float* source, int leading_dimension,
                                   const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  meet_at_matrix(source, leading_dimension, {file, line});
  c.for_elements(c.kLayout, leading_dimension, [&](int i, int64_t offset) { c[i] = source[offset]; });
}
template <typename P>
MT_OWN_FRAME void store_accumulator(float* target, const Accumulator<P>& c, int leading_dimension,
                                    const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  meet_at_matrix(target, leading_dimension, {file, line});
  c.for_elements(c.kLayout, leading_dimension, [&](int i, int64_t offset) { target[offset] = c[i]; });
}

template <FragmentRole kRole, int kRows, int kColumns>
void round_fragment(Fragment<kRole, float, kRows, kColumns>& fragment) {
  for (int i = 0; i < fragment.size(); ++i) fragment[i] = to_tf32(fragment[i]);
}

inline float factor_of(bfloat16 value, SourceLine) {
  return to_float(value);
}
/// Tensor cores do not look at the lower bits of a float: what they do with them is not promised.
inline float factor_of(float value, SourceLine where) {
  if (value == value && bits_of(to_tf32(value)) != bits_of(value))
    simt_machine::fault(where, "multiply_accumulate of a float that is not rounded to TF32");
  return value;
}

template <typename P, Layout kLayoutA, Layout kLayoutB>
void multiply_accumulate(Accumulator<P>& c, const FragmentA<P, kLayoutA>& a, const FragmentB<P, kLayoutB>& b,
                         const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  float factors_a[P::kDepth / 2];  // of this lane
  float factors_b[P::kDepth / 2];
  for (int i = 0; i < a.size(); ++i) {
    factors_a[i] = factor_of(a[i], {file, line});
    factors_b[i] = factor_of(b[i], {file, line});
  }
  simt_machine::multiply_fragments({&c[0], factors_a, factors_b, P::kDepth}, {file, line});
}

}  // namespace mt::simt_backend::simt
