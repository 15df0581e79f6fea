#include "kernels/bce/bce.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/bce/bce_cpu.cc"
#include <hwy/foreach_target.h>
// The headers above must come first: this file is compiled once per instruction set.
#include <hwy/highway.h>

#include <vector>

#include "kernels/common/lanes-inl.h"
#include "kernels/common/tables.h"
#include "tensor/parallel.h"

HWY_BEFORE_NAMESPACE();
namespace mt::HWY_NAMESPACE {

// With e = exp(-|x|) nothing overflows, whatever the logit x.

HWY_INLINE Lanes::Value BceLosses(const Lanes::Value& x, const Lanes::Value& y, float pos_weight) {
  const auto zero = Lanes::set(0.0F);
  const auto l = Lanes::log1p(Lanes::exp(Lanes::sub(zero, Lanes::abs(x))));
  const auto of_positive = Lanes::add(Lanes::max(Lanes::sub(zero, x), zero), l);  // log(1 + e^-x)
  const auto of_negative = Lanes::add(Lanes::max(x, zero), l);                    // log(1 + e^x)
  const auto positive = Lanes::mul(Lanes::mul(Lanes::set(pos_weight), y), of_positive);
  const auto loss = Lanes::mul_add(Lanes::sub(Lanes::set(1.0F), y), of_negative, positive);
  return Lanes::add(loss, Lanes::sub(x, x));  // max() may drop a NaN; x - x brings it back and is 0 otherwise
}

HWY_INLINE Lanes::Value BceSlopes(const Lanes::Value& x, const Lanes::Value& y, float pos_weight) {
  const auto zero = Lanes::set(0.0F);
  const auto one = Lanes::set(1.0F);
  const auto e = Lanes::exp(Lanes::sub(zero, Lanes::abs(x)));
  const auto large = Lanes::div(one, Lanes::add(one, e));
  const auto small = Lanes::div(e, Lanes::add(one, e));
  const auto sigmoid = Lanes::select_ge(x, zero, large, small);
  const auto sigmoid_of_minus = Lanes::select_ge(x, zero, small, large);
  const auto positive = Lanes::mul(Lanes::mul(Lanes::set(pos_weight), y), sigmoid_of_minus);
  const auto slope = Lanes::sub(Lanes::mul(Lanes::sub(one, y), sigmoid), positive);
  return Lanes::add(slope, Lanes::sub(x, x));
}

/// Sum of the losses of one chunk. slopes: (n) or null.
double BceSum(const float* logits, const float* targets, float pos_weight, float* slopes, int64_t n) {
  auto sum = Lanes::set(0.0F);
  for_each_lanes(n, [&](int64_t i, int64_t count) {
    const auto x = Lanes::load_or(logits + i, count, 0.0F);
    const auto y = Lanes::load_or(targets + i, count, 0.0F);
    HWY_ALIGN float losses[kLanes] = {};
    Lanes::store(BceLosses(x, y, pos_weight), losses, count);
    sum = Lanes::add(sum, Lanes::load(losses));
    if (slopes != nullptr) Lanes::store(BceSlopes(x, y, pos_weight), slopes + i, count);
  });
  return Lanes::reduce_add(sum);
}

void BceScale(const float* slopes, float factor, float* dlogits, int64_t n) {
  for_each_lanes(n, [&](int64_t i, int64_t count) {
    Lanes::store(Lanes::mul(Lanes::set(factor), Lanes::load_or(slopes + i, count, 0.0F)), dlogits + i, count);
  });
}

}  // namespace mt::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mt {
namespace {

HWY_EXPORT(BceSum);
HWY_EXPORT(BceScale);

constexpr int64_t kChunk = 4096;

/// slopes: (n) or null.
void mean_with_slopes(const float* logits, const float* targets, double pos_weight, float* loss,
                      float* slopes, int64_t n, Stream) {
  check(n >= 1, "bce: the mean of no elements");
  const auto kernel = HWY_DYNAMIC_DISPATCH(BceSum);
  const float weight = static_cast<float>(pos_weight);
  std::vector<double> sums(static_cast<std::size_t>((n + kChunk - 1) / kChunk));
  parallel_for(n, kChunk, [&, kernel](int64_t begin, int64_t end) {
    sums[static_cast<std::size_t>(begin / kChunk)] = kernel(
        logits + begin, targets + begin, weight, slopes == nullptr ? nullptr : slopes + begin, end - begin);
  });
  double total = 0;
  for (const double sum : sums) total += sum;
  *loss = static_cast<float>(total / static_cast<double>(n));
}

void mean_forward(const float* logits, const float* targets, double pos_weight, float* loss, int64_t n,
                  Stream stream) {
  mean_with_slopes(logits, targets, pos_weight, loss, nullptr, n, stream);
}

void mean_slopes_backward(const float* slopes, const float* dloss, float* dlogits, int64_t n, Stream) {
  const auto kernel = HWY_DYNAMIC_DISPATCH(BceScale);
  // The upstream gradient of each loss of the mean.
  const float factor = static_cast<float>(static_cast<double>(*dloss) / static_cast<double>(n));
  parallel_for(n, kChunk, [=](int64_t begin, int64_t end) {
    kernel(slopes + begin, factor, dlogits + begin, end - begin);
  });
}

}  // namespace

template <>
const Bce<float>& bce<float>(Device device) {
  static constexpr Bce<float> table{mean_forward, mean_with_slopes, mean_slopes_backward};
  return device == Device::cpu ? table : device_table<Bce<float>>(device, "bce");
}

}  // namespace mt
#endif
