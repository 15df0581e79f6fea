#include "kernels/optimizer/optimizer.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/optimizer/optimizer_cpu.cc"
#include <hwy/foreach_target.h>
// The headers above must come first: this file is compiled once per instruction set.
#include <hwy/highway.h>

#include <cmath>
#include <vector>

#include "kernels/common/lanes-inl.h"
#include "kernels/common/tables.h"
#include "kernels/optimizer/factors.h"
#include "tensor/parallel.h"

HWY_BEFORE_NAMESPACE();
namespace mt::HWY_NAMESPACE {

/// velocity: (n), or null without momentum.
void SgdStep(float* parameters, const float* gradients, float* velocity, int64_t n, const SgdFactors& f) {
  for_each_lanes(n, [&](int64_t i, int64_t count) {
    const auto p = Lanes::load_or(parameters + i, count, 0.0F);
    const auto decay = Lanes::mul(Lanes::set(f.weight_decay), p);
    const auto g =
        Lanes::mul_add(Lanes::set(f.gradient_scale), Lanes::load_or(gradients + i, count, 0.0F), decay);
    auto direction = g;
    if (velocity != nullptr) {
      auto v = Lanes::mul(Lanes::set(f.intake), g);
      if (f.keep_velocity)
        v = Lanes::mul_add(Lanes::set(f.momentum), Lanes::load_or(velocity + i, count, 0.0F), v);
      Lanes::store(v, velocity + i, count);
      direction = f.nesterov ? Lanes::mul_add(Lanes::set(f.momentum), v, g) : v;
    }
    Lanes::store(Lanes::mul_add(Lanes::set(-f.learning_rate), direction, p), parameters + i, count);
  });
}

void AdamStep(float* parameters, const float* gradients, float* first, float* second, float* largest,
              int64_t n, const AdamFactors& f) {
  for_each_lanes(n, [&](int64_t i, int64_t count) {
    auto p = Lanes::load_or(parameters + i, count, 0.0F);
    const auto decay = Lanes::mul(Lanes::set(f.added_decay), p);
    const auto g =
        Lanes::mul_add(Lanes::set(f.gradient_scale), Lanes::load_or(gradients + i, count, 0.0F), decay);
    const auto m = Lanes::mul_add(Lanes::set(f.beta1), Lanes::load_or(first + i, count, 0.0F),
                                  Lanes::mul(Lanes::set(f.one_minus_beta1), g));
    const auto v = Lanes::mul_add(Lanes::set(f.beta2), Lanes::load_or(second + i, count, 0.0F),
                                  Lanes::mul(Lanes::set(f.one_minus_beta2), Lanes::mul(g, g)));
    Lanes::store(m, first + i, count);
    Lanes::store(v, second + i, count);
    auto spread = v;
    if (largest != nullptr) {
      spread = Lanes::max(v, Lanes::load_or(largest + i, count, 0.0F));
      Lanes::store(spread, largest + i, count);
    }
    const auto denominator =
        Lanes::mul_add(Lanes::sqrt(spread), Lanes::set(f.spread_scale), Lanes::set(f.epsilon));
    p = Lanes::mul(Lanes::set(f.shrink), p);
    p = Lanes::mul_add(Lanes::set(-f.step_size), Lanes::div(m, denominator), p);
    Lanes::store(p, parameters + i, count);
  });
}

/// Sum of squares in 16 double lanes. The square of a float is exact in double, so a fused multiply-add
/// changes nothing.
double SumOfSquares(const float* values, int64_t n) {
  double lane[kLanes] = {};
  for_each_lanes(n, [&](int64_t i, int64_t count) {
    for (int64_t j = 0; j < count; ++j)
      lane[j] += static_cast<double>(values[i + j]) * static_cast<double>(values[i + j]);
  });
  for (int64_t half = kLanes / 2; half > 0; half /= 2) {
    for (int64_t j = 0; j < half; ++j) lane[j] += lane[j + half];
  }
  return lane[0];
}

}  // namespace mt::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mt {

namespace {

HWY_EXPORT(SgdStep);
HWY_EXPORT(AdamStep);
HWY_EXPORT(SumOfSquares);

constexpr int64_t kChunk = 16384;

void sgd(float* parameters, const float* gradients, float* velocity, int64_t n, int64_t step,
         double gradient_scale, const SgdRule& rule, Stream) {
  const char* error = error_in(rule, velocity != nullptr);
  check(error == nullptr, "{}", error);
  const SgdFactors factors = factors_at(rule, step, gradient_scale);
  const auto kernel = HWY_DYNAMIC_DISPATCH(SgdStep);
  float* state = rule.momentum == 0 ? nullptr : velocity;
  parallel_for(n, kChunk, [&, kernel, state](int64_t begin, int64_t end) {
    kernel(parameters + begin, gradients + begin, state == nullptr ? nullptr : state + begin, end - begin,
           factors);
  });
}

void adam(float* parameters, const float* gradients, float* first_moment, float* second_moment,
          float* largest_second_moment, int64_t n, int64_t step, double gradient_scale, const AdamRule& rule,
          Stream) {
  const char* error = error_in(rule, largest_second_moment != nullptr);
  check(error == nullptr, "{}", error);
  const AdamFactors factors = factors_at(rule, step, gradient_scale);
  const auto kernel = HWY_DYNAMIC_DISPATCH(AdamStep);
  float* largest = rule.amsgrad ? largest_second_moment : nullptr;
  parallel_for(n, kChunk, [&, kernel, largest](int64_t begin, int64_t end) {
    kernel(parameters + begin, gradients + begin, first_moment + begin, second_moment + begin,
           largest == nullptr ? nullptr : largest + begin, end - begin, factors);
  });
}

void require_finite(const float* gradients, int64_t n, const std::string& error, Stream) {
  const auto kernel = HWY_DYNAMIC_DISPATCH(SumOfSquares);
  std::vector<double> sums(static_cast<std::size_t>((n + kChunk - 1) / kChunk));
  parallel_for(n, kChunk, [&, kernel](int64_t begin, int64_t end) {
    sums[static_cast<std::size_t>(begin / kChunk)] = kernel(gradients + begin, end - begin);
  });
  // Squares of finite floats cannot overflow a double.
  for (const double sum : sums) check(std::isfinite(sum), "{}", error);
}

}  // namespace

template <>
const Optimizer<float>& optimizer<float>(Device device) {
  static constexpr Optimizer<float> table{sgd, adam, require_finite};
  return device == Device::cpu ? table : device_table<Optimizer<float>>(device, "optimizer");
}

}  // namespace mt
#endif
