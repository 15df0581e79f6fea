#include "kernels/gemm/tile.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/gemm/tile_cpu.cc"
#include <hwy/foreach_target.h>
// The headers above must come first: this file is compiled once per instruction set.
#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#include <algorithm>
#include <array>
#include <utility>

#include "kernels/common/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace mt::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using FloatTag = hn::ScalableTag<float>;
using FloatVector = hn::Vec<FloatTag>;
constexpr int kWidth = static_cast<int>(hn::MaxLanes(FloatTag()));

/// Rows of a tile of `vectors` vectors, so that its sums, `vectors` vectors of b and one of a fit the
/// registers. With 32 registers 6 x 4 reads least per multiply-add; with 16 that is 6 x 2.
constexpr bool kManyRegisters = HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_NEON;
constexpr int kTileVectors = kManyRegisters ? 4 : 2;
constexpr int tile_rows(int vectors) {
  if (kManyRegisters) return vectors == 1 ? 16 : vectors == 2 ? 12 : vectors == 3 ? 9 : 6;
  return vectors == 1 ? 8 : vectors == 2 ? 6 : 0;
}

/// f(0), f(1) … f(kCount - 1) with compile-time arguments, so that arrays indexed by them live in registers.
template <int kCount, typename F>
HWY_INLINE void unroll(const F& f) {
  [&]<int... kIndex>(std::integer_sequence<int, kIndex...>) HWY_ATTR {
    (f(std::integral_constant<int, kIndex>{}), ...);
  }
  (std::make_integer_sequence<int, kCount>{});
}

/// Adds the terms to sum[i * kVectors + v]. row(i, offset) reads row i at an offset.
template <int kRows, int kVectors, typename Row>
HWY_INLINE void add_terms(const TileTerms& terms, FloatVector* HWY_RESTRICT sum, const Row& row) {
  const FloatTag d;
  const int64_t a_step = terms.a_step;
  const int64_t b_step = terms.b_step;
  for (int64_t g = 0; g < terms.groups; ++g) {
    for (int64_t u = 0; u < terms.runs; ++u) {
      const float* b = terms.b + g * terms.b_group + u * terms.b_run;
      int64_t offset = terms.a_first + g * terms.a_group + u * terms.a_run;
      for (int64_t t = 0; t < terms.run_length; ++t) {
        FloatVector b_vector[kVectors];
        unroll<kVectors>([&](auto v) HWY_ATTR { b_vector[v.value] = hn::LoadU(d, b + v.value * kWidth); });
        unroll<kRows>([&](auto i) HWY_ATTR {
          const auto a_value = hn::Set(d, row(i, offset));
          unroll<kVectors>([&](auto v) HWY_ATTR {
            auto& s = sum[i.value * kVectors + v.value];
            s = hn::MulAdd(a_value, b_vector[v.value], s);
          });
        });
        offset += a_step;
        b += b_step;
      }
    }
  }
}

/// Whether the rows are equally far apart, as the pixels of one output row are.
template <int kRows>
bool equally_spaced(const float* const* a) {
  for (int i = 2; i < kRows; ++i) {
    if (a[i] - a[i - 1] != a[1] - a[0]) return false;
  }
  return true;
}

template <int kRows, int kVectors>
void MultiplyTile(const TileTerms& terms, const TileResult& result) {
  const FloatTag d;
  FloatVector sum[kRows * kVectors];
  // Full vectors of the result, and the lanes of the last one.
  const int64_t last = (kVectors - 1) * kWidth;
  const auto mask = hn::FirstN(d, static_cast<std::size_t>(result.columns - last));
  unroll<kRows>([&](auto i) HWY_ATTR {
    unroll<kVectors>([&](auto v) HWY_ATTR {
      auto& s = sum[i.value * kVectors + v.value];
      const float* c = result.c[i.value] + result.offset + v.value * kWidth;
      if (!result.add)
        s = hn::Zero(d);
      else if (v.value + 1 < kVectors)
        s = hn::LoadU(d, c);
      else
        s = hn::MaskedLoad(mask, d, c);
    });
  });

  // A tile of one vector reads a float for each multiply-add, so there the loads are what counts, and with
  // pointers for all rows a second load would fetch the pointer. Equally spaced rows need few.
  if (kVectors == 1 && kRows > 6 && equally_spaced<kRows>(terms.a)) {
    const float* first = terms.a[0];
    const int64_t space = kRows > 1 ? terms.a[kRows > 1 ? 1 : 0] - first : 0;
    const int64_t space2 = 2 * space;
    const int64_t space3 = 3 * space;
    const float* fifth = first + 4 * space;
    const float* ninth = first + 8 * space;
    const float* thirteenth = first + 12 * space;
    add_terms<kRows, kVectors>(terms, sum, [&](auto i, int64_t offset) HWY_ATTR {
      const float* base = i.value < 4 ? first : i.value < 8 ? fifth : i.value < 12 ? ninth : thirteenth;
      return (base + offset)[i.value % 4 == 0   ? 0
                             : i.value % 4 == 1 ? space
                             : i.value % 4 == 2 ? space2
                                                : space3];
    });
  } else {
    const float* a[kRows];
    unroll<kRows>([&](auto i) HWY_ATTR { a[i.value] = terms.a[i.value]; });
    add_terms<kRows, kVectors>(terms, sum,
                               [&](auto i, int64_t offset) HWY_ATTR { return a[i.value][offset]; });
  }

  unroll<kRows>([&](auto i) HWY_ATTR {
    unroll<kVectors>([&](auto v) HWY_ATTR {
      const auto s = sum[i.value * kVectors + v.value];
      float* c = result.c[i.value] + result.offset + v.value * kWidth;
      if (v.value + 1 < kVectors)
        hn::StoreU(s, d, c);
      else
        hn::BlendedStore(s, mask, d, c);
    });
  });
}

using TileFunction = void (*)(const TileTerms&, const TileResult&);

/// MultiplyTile<1, kVectors>, MultiplyTile<2, kVectors> …
template <int kVectors, int... kIndex>
constexpr std::array<TileFunction, sizeof...(kIndex)> functions_by_rows(
    std::integer_sequence<int, kIndex...>) {
  return {MultiplyTile<kIndex + 1, kVectors>...};
}

template <int kVectors>
TileFunction tile_function(int64_t rows) {
  static constexpr auto functions =
      functions_by_rows<kVectors>(std::make_integer_sequence<int, tile_rows(kVectors)>{});
  return functions[static_cast<std::size_t>(rows - 1)];
}

void MultiplyAnyTile(int64_t rows, int64_t vectors, const TileTerms& terms, const TileResult& result) {
  TileFunction function = nullptr;
  if (vectors == 1)
    function = tile_function<1>(rows);
  else if (vectors == 2)
    function = tile_function<2>(rows);
  if constexpr (kTileVectors == 4) {
    if (vectors == 3)
      function = tile_function<3>(rows);
    else if (vectors == 4)
      function = tile_function<4>(rows);
  }
  function(terms, result);
}

/// kRows dot products at once, so that x is read once for all and the additions of one do not wait for each
/// other.
template <int kRows>
void DotSomeRows(const float* x, const float* rows, int64_t stride, int64_t k, float* y) {
  const Lanes lanes;
  std::array<Lanes::Value, kRows> sum;
  for (auto& s : sum) s = lanes.set(0.0F);
  for_each_lanes(k, [&](int64_t t, int64_t n) HWY_ATTR {
    const auto x_value = lanes.load_or(x + t, n, 0.0F);
    unroll<kRows>([&](auto i) HWY_ATTR {
      sum[i.value] =
          lanes.mul_add(lanes.load_or(rows + i.value * stride + t, n, 0.0F), x_value, sum[i.value]);
    });
  });
  unroll<kRows>([&](auto i) HWY_ATTR { y[i.value] = lanes.reduce_add(sum[i.value]); });
}

void DotRows(const float* x, const float* rows, int64_t stride, int64_t n, int64_t k, float* y) {
  int64_t j = 0;
  for (; j + 4 <= n; j += 4) DotSomeRows<4>(x, rows + j * stride, stride, k, y + j);
  for (; j < n; ++j) DotSomeRows<1>(x, rows + j * stride, stride, k, y + j);
}

void TanhRow(float* c, int64_t n) {
  const Lanes lanes;
  for_each_lanes(n, [&](int64_t j, int64_t count) HWY_ATTR {
    const auto x = lanes.load_or(c + j, count, 0.0F);
    const auto y =
        lanes.make([&](auto i) HWY_ATTR { return hn::Tanh(Lanes::D(), x.template at<i.value>()); });
    lanes.store(y, c + j, count);
  });
}

const TileEngine& Engine() {
  static constexpr TileEngine engine{
      kWidth,          kTileVectors, {0, tile_rows(1), tile_rows(2), tile_rows(3), tile_rows(4)},
      MultiplyAnyTile, DotRows,      TanhRow};
  return engine;
}

}  // namespace mt::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mt {
namespace {
HWY_EXPORT(Engine);
}
const TileEngine& tile_engine() {
  static const TileEngine& engine = HWY_DYNAMIC_DISPATCH(Engine)();
  return engine;
}
}  // namespace mt
#endif
