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
  if (kManyRegisters) return vectors == 1 ? 9 : vectors == 2 ? 12 : vectors == 3 ? 9 : 6;
  return vectors == 1 ? 8 : vectors == 2 ? 6 : 0;
}

// Lambdas below are inlined always: one that is not would keep the sums in memory.
#define MT_TILE_LAMBDA HWY_ATTR __attribute__((always_inline))

/// f(0), f(1) … f(kCount - 1) with compile-time arguments, so that arrays indexed by them live in registers.
template <int kCount, typename F>
HWY_INLINE void unroll(const F& f) {
  [&]<int... kIndex>(std::integer_sequence<int, kIndex...>) MT_TILE_LAMBDA {
    (f(std::integral_constant<int, kIndex>{}), ...);
  }
  (std::make_integer_sequence<int, kCount>{});
}

template <int kRows, int kVectors>
void MultiplyTile(const TileTerms& terms, const TileResult& result) {
  const FloatTag d;
  FloatVector sum[kRows * kVectors];
  // All vectors of a row are full, but the last one may not be.
  const auto mask = hn::FirstN(d, static_cast<std::size_t>(result.columns - (kVectors - 1) * kWidth));
  unroll<kRows>([&](auto i) MT_TILE_LAMBDA {
    unroll<kVectors>([&](auto v) MT_TILE_LAMBDA {
      auto& s = sum[i.value * kVectors + v.value];
      const float* c = result.c[i.value] + result.offset + v.value * kWidth;
      if (result.start != TileStart::from_result)
        s = hn::Zero(d);
      else if (v.value + 1 < kVectors)
        s = hn::LoadU(d, c);
      else
        s = hn::MaskedLoad(mask, d, c);
    });
  });

  const float* a[kRows];
  unroll<kRows>([&](auto i) MT_TILE_LAMBDA { a[i.value] = terms.a[i.value]; });
  const int64_t a_step = terms.a_step;
  const int64_t b_step = terms.b_step;
  for (int64_t g = 0; g < terms.groups; ++g) {
    for (int64_t u = 0; u < terms.runs; ++u) {
      const float* b = terms.b + g * terms.b_group + u * terms.b_run;
      int64_t offset = terms.a_first + g * terms.a_group + u * terms.a_run;
      for (int64_t t = 0; t < terms.run_length; ++t) {
        FloatVector b_vector[kVectors];
        unroll<kVectors>([&](auto v)
                             MT_TILE_LAMBDA { b_vector[v.value] = hn::LoadU(d, b + v.value * kWidth); });
        unroll<kRows>([&](auto i) MT_TILE_LAMBDA {
          const auto a_value = hn::Set(d, a[i.value][offset]);
          unroll<kVectors>([&](auto v) MT_TILE_LAMBDA {
            auto& s = sum[i.value * kVectors + v.value];
            s = hn::MulAdd(a_value, b_vector[v.value], s);
          });
        });
        offset += a_step;
        b += b_step;
      }
    }
  }

  unroll<kRows>([&](auto i) MT_TILE_LAMBDA {
    unroll<kVectors>([&](auto v) MT_TILE_LAMBDA {
      const auto s = sum[i.value * kVectors + v.value];
      float* c = result.c[i.value] + result.offset + v.value * kWidth;
      const bool add = result.start == TileStart::add_to_result;
      if (v.value + 1 < kVectors)
        hn::StoreU(add ? hn::Add(hn::LoadU(d, c), s) : s, d, c);
      else
        hn::BlendedStore(add ? hn::Add(hn::MaskedLoad(mask, d, c), s) : s, mask, d, c);
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
  for_each_lanes(k, [&](int64_t t, int64_t n) MT_TILE_LAMBDA {
    const auto x_value = lanes.load_or(x + t, n, 0.0F);
    unroll<kRows>([&](auto i) MT_TILE_LAMBDA {
      sum[i.value] =
          lanes.mul_add(lanes.load_or(rows + i.value * stride + t, n, 0.0F), x_value, sum[i.value]);
    });
  });
  unroll<kRows>([&](auto i) MT_TILE_LAMBDA { y[i.value] = lanes.reduce_add(sum[i.value]); });
}

void DotRows(const float* x, const float* rows, int64_t stride, int64_t n, int64_t k, float* y) {
  int64_t j = 0;
  for (; j + 4 <= n; j += 4) DotSomeRows<4>(x, rows + j * stride, stride, k, y + j);
  for (; j < n; ++j) DotSomeRows<1>(x, rows + j * stride, stride, k, y + j);
}

void TanhRow(float* c, int64_t n) {
  const Lanes lanes;
  for_each_lanes(n, [&](int64_t j, int64_t count) MT_TILE_LAMBDA {
    const auto x = lanes.load_or(c + j, count, 0.0F);
    const auto y =
        lanes.make([&](auto i) MT_TILE_LAMBDA { return hn::Tanh(Lanes::D(), x.template at<i.value>()); });
    lanes.store(y, c + j, count);
  });
}

const TileEngine& Engine() {
  static constexpr TileEngine engine{
      kWidth,          kTileVectors, {0, tile_rows(1), tile_rows(2), tile_rows(3), tile_rows(4)},
      MultiplyAnyTile, DotRows,      TanhRow};
  return engine;
}

#undef MT_TILE_LAMBDA

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
