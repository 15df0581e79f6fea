// Sixteen logical float lanes on top of Highway, whatever the register width, so that sums have the same
// order under AVX2 and AVX-512. Included once per instruction set, inside a file that uses foreach_target.h:
// hence no `#pragma once`.

#if defined(MT_KERNELS_COMMON_LANES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MT_KERNELS_COMMON_LANES_INL_H_
#undef MT_KERNELS_COMMON_LANES_INL_H_
#else
#define MT_KERNELS_COMMON_LANES_INL_H_
#endif

#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <utility>

HWY_BEFORE_NAMESPACE();
namespace mt::HWY_NAMESPACE {

inline constexpr int64_t kLanes = 16;

/// Operations on 16 floats. Width (1, 4, 8 or 16) is a compile-time constant of the target; loops over
/// registers unroll.
struct Lanes {
  using D = hwy::HWY_NAMESPACE::CappedTag<float, kLanes>;
  using V = hwy::HWY_NAMESPACE::Vec<D>;
  static constexpr int64_t kWidth = hwy::HWY_NAMESPACE::MaxLanes(D());
  static constexpr int64_t kRegisters = kLanes / kWidth;
  struct Value {
    V part[kRegisters];
    template <int I>
    HWY_INLINE V& at() {
      return part[I];
    }
    template <int I>
    HWY_INLINE const V& at() const {
      return part[I];
    }
  };

  template <typename F, int... I>
  static HWY_INLINE void each_of(const F& f, std::integer_sequence<int, I...>) {
    (f(std::integral_constant<int, I>{}), ...);
  }
  /// f(0), f(1), … for each register, as compile-time constants.
  template <typename F>
  static HWY_INLINE void each(const F& f) {
    each_of(f, std::make_integer_sequence<int, static_cast<int>(kRegisters)>{});
  }
  template <typename F>
  static HWY_INLINE Value make(const F& f) {
    Value out;
    each([&](auto i) HWY_ATTR { out.template at<i.value>() = f(i); });
    return out;
  }

  static HWY_INLINE Value set(float x) {
    return make([=](auto) HWY_ATTR { return hwy::HWY_NAMESPACE::Set(D(), x); });
  }
  /// n >= 1 floats from p; lanes from n on are `rest`.
  static HWY_INLINE Value load_or(const float* p, int64_t n, float rest) {
    if (HWY_LIKELY(n >= kLanes)) return load(p);
    HWY_ALIGN float buffer[kLanes];
    for (int64_t i = 0; i < kLanes; ++i) buffer[i] = i < n ? p[i] : rest;
    return load(buffer);
  }
  static HWY_INLINE Value load(const float* p) {
    return make([=](auto i) HWY_ATTR { return hwy::HWY_NAMESPACE::LoadU(D(), p + i.value * kWidth); });
  }
  static HWY_INLINE void store(const Value& v, float* p, int64_t n) {
    if (HWY_LIKELY(n >= kLanes)) {
      each([&](auto i)
               HWY_ATTR { hwy::HWY_NAMESPACE::StoreU(v.template at<i.value>(), D(), p + i.value * kWidth); });
      return;
    }
    HWY_ALIGN float buffer[kLanes];
    store(v, buffer, kLanes);
    for (int64_t i = 0; i < n; ++i) p[i] = buffer[i];
  }

#define MT_LANES_BINARY(name, Op)                                                        \
  static HWY_INLINE Value name(const Value& a, const Value& b) {                         \
    return make([&](auto i) HWY_ATTR {                                                   \
      return hwy::HWY_NAMESPACE::Op(a.template at<i.value>(), b.template at<i.value>()); \
    });                                                                                  \
  }
  MT_LANES_BINARY(add, Add)
  MT_LANES_BINARY(sub, Sub)
  MT_LANES_BINARY(mul, Mul)
  MT_LANES_BINARY(div, Div)
  MT_LANES_BINARY(max, Max)
  MT_LANES_BINARY(min, Min)
#undef MT_LANES_BINARY

  /// a*b + c; fused where the instruction set has it.
  static HWY_INLINE Value mul_add(const Value& a, const Value& b, const Value& c) {
    return make([&](auto i) HWY_ATTR {
      return hwy::HWY_NAMESPACE::MulAdd(a.template at<i.value>(), b.template at<i.value>(),
                                        c.template at<i.value>());
    });
  }
  /// Highway's Exp with infinity where float overflows (it wraps there) and NaN for NaN (it gives 0).
  static HWY_INLINE V exp_of(const V& x) {
    namespace hn = hwy::HWY_NAMESPACE;
    constexpr float kLargest = 0x1.62e42ep+6F;  // the last float whose exp is finite
    const V finite = hn::Exp(D(), hn::Min(x, hn::Set(D(), kLargest)));
    const V value = hn::IfThenElse(hn::Gt(x, hn::Set(D(), kLargest)), hn::Set(D(), HUGE_VALF), finite);
    return hn::IfThenElse(hn::IsNaN(x), x, value);
  }
  static HWY_INLINE Value exp(const Value& a) {
    return make([&](auto i) HWY_ATTR { return exp_of(a.template at<i.value>()); });
  }
  static HWY_INLINE Value sqrt(const Value& a) {
    return make([&](auto i) HWY_ATTR { return hwy::HWY_NAMESPACE::Sqrt(a.template at<i.value>()); });
  }
  /// max(a, 0), NaN kept.
  static HWY_INLINE Value relu(const Value& a) {
    return make([&](auto i) HWY_ATTR {
      const V v = a.template at<i.value>();
      return hwy::HWY_NAMESPACE::IfThenZeroElse(hwy::HWY_NAMESPACE::Lt(v, hwy::HWY_NAMESPACE::Zero(D())), v);
    });
  }
  /// b where a > 0, else 0.
  static HWY_INLINE Value where_positive(const Value& a, const Value& b) {
    return make([&](auto i) HWY_ATTR {
      const auto positive = hwy::HWY_NAMESPACE::Gt(a.template at<i.value>(), hwy::HWY_NAMESPACE::Zero(D()));
      return hwy::HWY_NAMESPACE::IfThenElseZero(positive, b.template at<i.value>());
    });
  }
  /// log(1 + a), within 2 ULP.
  static HWY_INLINE Value log1p(const Value& a) {
    return make([&](auto i) HWY_ATTR { return hwy::HWY_NAMESPACE::Log1p(D(), a.template at<i.value>()); });
  }
  /// Within 4 ULP.
  static HWY_INLINE Value tanh(const Value& a) {
    return make([&](auto i) HWY_ATTR { return hwy::HWY_NAMESPACE::Tanh(D(), a.template at<i.value>()); });
  }
  static HWY_INLINE Value abs(const Value& a) {
    return make([&](auto i) HWY_ATTR { return hwy::HWY_NAMESPACE::Abs(a.template at<i.value>()); });
  }
  /// a >= b ? yes : no, lane by lane; NaN takes `no`.
  static HWY_INLINE Value select_ge(const Value& a, const Value& b, const Value& yes, const Value& no) {
    return make([&](auto i) HWY_ATTR {
      constexpr int k = i.value;
      const auto mask = hwy::HWY_NAMESPACE::Ge(a.template at<k>(), b.template at<k>());
      return hwy::HWY_NAMESPACE::IfThenElse(mask, yes.template at<k>(), no.template at<k>());
    });
  }
  static HWY_INLINE bool any_nan(const Value& a) {
    bool any = false;
    each([&](auto i) HWY_ATTR {
      any |= !hwy::HWY_NAMESPACE::AllFalse(D(), hwy::HWY_NAMESPACE::IsNaN(a.template at<i.value>()));
    });
    return any;
  }
  /// The 16 lanes summed in a fixed tree: (0+8)+(4+12) … as 8, 4, 2, 1.
  static HWY_INLINE float reduce_add(const Value& v) {
    HWY_ALIGN float lane[kLanes];
    store(v, lane, kLanes);
    for (int64_t half = kLanes / 2; half > 0; half /= 2) {
      for (int64_t i = 0; i < half; ++i) lane[i] += lane[i + half];
    }
    return lane[0];
  }
  static HWY_INLINE float reduce_max(const Value& v) {
    HWY_ALIGN float lane[kLanes];
    store(v, lane, kLanes);
    float largest = lane[0];
    for (int64_t i = 1; i < kLanes; ++i) largest = lane[i] > largest ? lane[i] : largest;
    return largest;
  }
};

/// Calls f(start, count) for [0, n) in steps of 16; count is 16 but for the last step.
template <typename F>
HWY_INLINE void for_each_lanes(int64_t n, const F& f) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) f(i, kLanes);
  if (i < n) f(i, n - i);
}

}  // namespace mt::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
