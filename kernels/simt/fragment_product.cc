#include "kernels/simt/fragment_product.h"

#define MT_UNCHECKED __attribute__((no_sanitize("address", "undefined")))

namespace mt::simt_machine {
namespace {

constexpr int kLanes = 32;
constexpr int kSide = 16;

/// Calls f(share's element, position) for all elements of all lanes.
template <typename F>
void for_elements(FragmentRole role, int elements, const F& f) {
  const int per_lane = elements / kLanes;
  const FragmentPermutation permutation = fragment_permutation(role);
  for (int lane = 0; lane < kLanes; ++lane) {
    for (int i = 0; i < per_lane; ++i) f(lane, i, permutation.position(lane * per_lane + i, elements));
  }
}

/// product += a·b, all of them arrays of multiply(): a third of the time of the tests under ASan if each
/// access were checked.
MT_UNCHECKED void add_product(const float* a, const float* b, int depth, float* product) {
  for (int row = 0; row < kSide; ++row) {
    for (int k = 0; k < depth; ++k) {
      for (int column = 0; column < kSide; ++column)
        product[row * kSide + column] += a[row * depth + k] * b[k * kSide + column];
    }
  }
}

void multiply(void* const* lanes) {
  const auto share = [&](int lane) -> const FragmentShares& {
    return *static_cast<const FragmentShares*>(lanes[lane]);
  };
  const int depth = share(0).depth;
  float a[kSide * kSide];  // (16, depth)
  float b[kSide * kSide];  // (depth, 16)
  for_elements(FragmentRole::a, kSide * depth, [&](int lane, int i, int at) { a[at] = share(lane).a[i]; });
  for_elements(FragmentRole::b, kSide * depth, [&](int lane, int i, int at) { b[at] = share(lane).b[i]; });
  float product[kSide * kSide];  // (16, 16)
  for_elements(FragmentRole::accumulator, kSide * kSide,
               [&](int lane, int i, int at) { product[at] = share(lane).c[i]; });
  add_product(a, b, depth, product);
  for_elements(FragmentRole::accumulator, kSide * kSide,
               [&](int lane, int i, int at) { share(lane).c[i] = product[at]; });
}

void require_same_matrix(void* const* lanes) {
  const auto& first = *static_cast<const MatrixInMemory*>(lanes[0]);
  for (int lane = 1; lane < kLanes; ++lane) {
    const auto& other = *static_cast<const MatrixInMemory*>(lanes[lane]);
    if (other.pointer != first.pointer || other.leading_dimension != first.leading_dimension)
      fault(first.where, "the lanes of a warp name different matrices for one fragment");
  }
}

}  // namespace

void meet_at_matrix(const MatrixInMemory& mine) {
  warp_collective(const_cast<MatrixInMemory*>(&mine), require_same_matrix, mine.where);
}

FragmentPermutation fragment_permutation(FragmentRole role) {
  const Schedule now = schedule();
  const uint64_t key = now.seed * 16 + static_cast<uint64_t>(now.order) * 4 + static_cast<uint64_t>(role) + 1;
  const uint64_t mixed = key * 0x9E3779B97F4A7C15U;
  return {static_cast<unsigned>(mixed >> 40) | 1U, static_cast<unsigned>(mixed >> 20)};
}

void multiply_fragments(const FragmentShares& mine, SourceLine where) {
  warp_collective(const_cast<FragmentShares*>(&mine), multiply, where);
}

}  // namespace mt::simt_machine
