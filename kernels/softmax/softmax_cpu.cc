#include "kernels/softmax/softmax.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/softmax/softmax_cpu.cc"
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

void SoftmaxForwardRow(const float* x, float* y, int64_t columns) {  // x, y: (columns)
  const Lanes lanes;
  auto largest = lanes.set(-HUGE_VALF);
  bool has_nan = false;
  for_each_lanes(columns, [&](int64_t c, int64_t n) {
    const auto v = lanes.load_or(x + c, n, -HUGE_VALF);
    has_nan |= lanes.any_nan(v);
    largest = lanes.max(largest, v);
  });
  const float m = has_nan ? NAN : lanes.reduce_max(largest);
  auto sum = lanes.set(0.0F);
  for_each_lanes(columns, [&](int64_t c, int64_t n) {
    const auto e = lanes.exp(lanes.sub(lanes.load_or(x + c, n, -HUGE_VALF), lanes.set(m)));
    sum = lanes.add(sum, e);
    lanes.store(e, y + c, n);
  });
  const auto total = lanes.set(lanes.reduce_add(sum));
  for_each_lanes(columns, [&](int64_t c, int64_t n) {
    lanes.store(lanes.div(lanes.load_or(y + c, n, 0.0F), total), y + c, n);
  });
}

void SoftmaxBackwardRow(const float* y, const float* dy, float* dx, int64_t columns) {  // all: (columns)
  const Lanes lanes;
  auto dot = lanes.set(0.0F);
  for_each_lanes(columns, [&](int64_t c, int64_t n) {
    dot = lanes.mul_add(lanes.load_or(y + c, n, 0.0F), lanes.load_or(dy + c, n, 0.0F), dot);
  });
  const auto total = lanes.set(lanes.reduce_add(dot));
  for_each_lanes(columns, [&](int64_t c, int64_t n) {
    const auto g = lanes.sub(lanes.load_or(dy + c, n, 0.0F), total);
    lanes.store(lanes.mul(lanes.load_or(y + c, n, 0.0F), g), dx + c, n);
  });
}

}  // namespace mt::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mt {
namespace {

HWY_EXPORT(SoftmaxForwardRow);
HWY_EXPORT(SoftmaxBackwardRow);

int64_t rows_per_range(int64_t columns) {
  return std::max<int64_t>(1, 16384 / columns);
}

void forward(const float* x, float* y, int64_t rows, int64_t columns, Stream) {
  const auto row = HWY_DYNAMIC_DISPATCH(SoftmaxForwardRow);
  parallel_for(rows, rows_per_range(columns), [=](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) row(x + r * columns, y + r * columns, columns);
  });
}

void backward(const float* y, const float* dy, float* dx, int64_t rows, int64_t columns, Stream) {
  const auto row = HWY_DYNAMIC_DISPATCH(SoftmaxBackwardRow);
  parallel_for(rows, rows_per_range(columns), [=](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) row(y + r * columns, dy + r * columns, dx + r * columns, columns);
  });
}

}  // namespace

template <>
const Softmax<float>& softmax<float>(Device device) {
  static constexpr Softmax<float> table{forward, backward};
  return device == Device::cpu ? table : device_table<Softmax<float>>(device, "softmax");
}

}  // namespace mt
#endif
