#include "kernels/activation/activation.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/activation/activation_cpu.cc"
#include <hwy/foreach_target.h>
// The headers above must come first: this file is compiled once per instruction set.
#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#include "kernels/common/lanes-inl.h"
#include "kernels/common/tables.h"
#include "tensor/parallel.h"

HWY_BEFORE_NAMESPACE();
namespace mt::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using ActivationD = Lanes::D;
using ActivationV = Lanes::V;

HWY_INLINE ActivationV constant(float x) {
  return hn::Set(ActivationD(), x);
}

// Minima, comparisons and Highway's Tanh may turn NaN into a number; this puts it back.
HWY_INLINE ActivationV keep_nan(const ActivationV& x, const ActivationV& value) {
  return hn::IfThenElse(hn::IsNaN(x), x, value);
}

HWY_INLINE ActivationV sigmoid(const ActivationV& x) {
  const auto e = Lanes::exp_of(hn::Neg(x));
  return hn::Div(constant(1.0F), hn::Add(constant(1.0F), e));
}

struct ReluLanes {
  static HWY_INLINE ActivationV value(const ActivationV& x) {
    return hn::IfThenZeroElse(hn::Lt(x, hn::Zero(ActivationD())), x);
  }
  static HWY_INLINE ActivationV slope(const ActivationV& y) {
    const auto one_or_zero = hn::IfThenElseZero(hn::Gt(y, hn::Zero(ActivationD())), constant(1.0F));
    return keep_nan(y, one_or_zero);
  }
};

struct TanhLanes {
  static HWY_INLINE ActivationV value(const ActivationV& x) {
    return keep_nan(x, hn::Tanh(ActivationD(), x));
  }
  static HWY_INLINE ActivationV slope(const ActivationV& y) {
    return hn::Mul(hn::Sub(constant(1.0F), y), hn::Add(constant(1.0F), y));
  }
};

struct SigmoidLanes {
  static HWY_INLINE ActivationV value(const ActivationV& x) { return sigmoid(x); }
  static HWY_INLINE ActivationV slope(const ActivationV& y) { return hn::Mul(y, hn::Sub(constant(1.0F), y)); }
};

struct SiluLanes {
  static HWY_INLINE ActivationV value(const ActivationV& x) { return hn::Mul(x, sigmoid(x)); }
  static HWY_INLINE ActivationV slope(const ActivationV& x) {
    const auto p = sigmoid(x);
    return hn::MulAdd(hn::Mul(x, p), sigmoid(hn::Neg(x)), p);
  }
};

struct GeluErfLanes {
  /// exp(−x²/2)
  static HWY_INLINE ActivationV bell(const ActivationV& x) {
    return Lanes::exp_of(hn::Mul(constant(-0.5F), hn::Mul(x, x)));
  }
  /// The normal distribution's Φ(x) = exp(−x²/2) q(s) for x <= 0, s = (|x| − 4) / (|x| + 4); 1 − Φ(−x) for x
  /// > 0. The coefficients are a least-squares fit of the relative error on |x| <= 14 (1.7e-8; activation.md
  /// tells how).
  static HWY_INLINE ActivationV phi(const ActivationV& x, const ActivationV& bell) {
    constexpr float kCoefficients[] = {-6.74027542e-05F, -0.000171058273F, 0.000658331555F, 0.000504795171F,
                                       -0.00849782024F,  0.0308649801F,    -0.0717067644F,  0.12437924F,
                                       -0.170397744F,    0.094410643F};
    const auto magnitude = hn::Min(hn::Abs(x), constant(14.0F));
    const auto s = hn::Div(hn::Sub(magnitude, constant(4.0F)), hn::Add(magnitude, constant(4.0F)));
    auto q = constant(kCoefficients[0]);
    for (int i = 1; i < 10; ++i) q = hn::MulAdd(q, s, constant(kCoefficients[i]));
    const auto tail = hn::Mul(bell, q);
    const auto whole =
        hn::IfThenElse(hn::Gt(x, hn::Zero(ActivationD())), hn::Sub(constant(1.0F), tail), tail);
    return keep_nan(x, whole);
  }
  static HWY_INLINE ActivationV value(const ActivationV& x) { return hn::Mul(x, phi(x, bell(x))); }
  static HWY_INLINE ActivationV slope(const ActivationV& x) {
    const auto b = bell(x);
    const auto density = hn::Mul(constant(0.398942280401F), b);  // 1/√(2π)
    return hn::MulAdd(x, density, phi(x, b));
  }
};

struct GeluTanhLanes {
  static constexpr float kTwoRootTwoOverPi = 1.59576912161F;  // 2 √(2/π)
  static constexpr float kCubic = 0.044715F;
  static HWY_INLINE ActivationV inner(const ActivationV& x) {
    const auto x2 = hn::Mul(x, x);
    return hn::Mul(hn::Mul(constant(kTwoRootTwoOverPi), x), hn::MulAdd(constant(kCubic), x2, constant(1.0F)));
  }
  static HWY_INLINE ActivationV value(const ActivationV& x) { return hn::Mul(x, sigmoid(inner(x))); }
  static HWY_INLINE ActivationV slope(const ActivationV& x) {
    const auto u = inner(x);
    const auto p = sigmoid(u);
    const auto bounded = hn::Clamp(x, constant(-100.0F), constant(100.0F));  // p (1 − p) is 0 beyond
    const auto inner_slope =
        hn::Mul(constant(kTwoRootTwoOverPi),
                hn::MulAdd(constant(3 * kCubic), hn::Mul(bounded, bounded), constant(1.0F)));
    return hn::MulAdd(hn::Mul(bounded, inner_slope), hn::Mul(p, sigmoid(hn::Neg(u))), p);
  }
};

template <typename F>
void forward_range(const float* x, float* y, int64_t n) {
  for_each_lanes(n, [&](int64_t i, int64_t m) HWY_ATTR {
    const auto v = Lanes::load_or(x + i, m, 0.0F);
    Lanes::store(Lanes::make([&](auto r) HWY_ATTR { return F::value(v.template at<r.value>()); }), y + i, m);
  });
}

template <typename F>
void backward_range(const float* saved, const float* dy, float* dx, int64_t n) {
  for_each_lanes(n, [&](int64_t i, int64_t m) HWY_ATTR {
    const auto s = Lanes::load_or(saved + i, m, 0.0F);
    const auto slope = Lanes::make([&](auto r) HWY_ATTR { return F::slope(s.template at<r.value>()); });
    Lanes::store(Lanes::mul(slope, Lanes::load_or(dy + i, m, 0.0F)), dx + i, m);
  });
}

void ActivationForward(ActivationKind kind, const float* x, float* y, int64_t n) {
  switch (kind) {
    case ActivationKind::relu:
      return forward_range<ReluLanes>(x, y, n);
    case ActivationKind::tanh:
      return forward_range<TanhLanes>(x, y, n);
    case ActivationKind::sigmoid:
      return forward_range<SigmoidLanes>(x, y, n);
    case ActivationKind::gelu_erf:
      return forward_range<GeluErfLanes>(x, y, n);
    case ActivationKind::gelu_tanh:
      return forward_range<GeluTanhLanes>(x, y, n);
    case ActivationKind::silu:
      return forward_range<SiluLanes>(x, y, n);
  }
}

void ActivationBackward(ActivationKind kind, const float* saved, const float* dy, float* dx, int64_t n) {
  switch (kind) {
    case ActivationKind::relu:
      return backward_range<ReluLanes>(saved, dy, dx, n);
    case ActivationKind::tanh:
      return backward_range<TanhLanes>(saved, dy, dx, n);
    case ActivationKind::sigmoid:
      return backward_range<SigmoidLanes>(saved, dy, dx, n);
    case ActivationKind::gelu_erf:
      return backward_range<GeluErfLanes>(saved, dy, dx, n);
    case ActivationKind::gelu_tanh:
      return backward_range<GeluTanhLanes>(saved, dy, dx, n);
    case ActivationKind::silu:
      return backward_range<SiluLanes>(saved, dy, dx, n);
  }
}

}  // namespace mt::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mt {
namespace {

HWY_EXPORT(ActivationForward);
HWY_EXPORT(ActivationBackward);

constexpr int64_t kGrain = 16384;  // elements, a multiple of 16

void forward(ActivationKind kind, const float* x, float* y, int64_t n, Stream) {
  const auto run = HWY_DYNAMIC_DISPATCH(ActivationForward);
  parallel_for(n, kGrain, [=](int64_t begin, int64_t end) { run(kind, x + begin, y + begin, end - begin); });
}

void backward(ActivationKind kind, const float* saved, const float* dy, float* dx, int64_t n, Stream) {
  const auto run = HWY_DYNAMIC_DISPATCH(ActivationBackward);
  parallel_for(n, kGrain, [=](int64_t begin, int64_t end) {
    run(kind, saved + begin, dy + begin, dx + begin, end - begin);
  });
}

}  // namespace

template <>
const Activation<float>& activation<float>(Device device) {
  static constexpr Activation<float> table{forward, backward};
  return device == Device::cpu ? table : device_table<Activation<float>>(device, "activation");
}

}  // namespace mt
#endif
