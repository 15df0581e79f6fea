#include "kernels/elementwise/elementwise.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/elementwise/elementwise_cpu.cc"
#include <hwy/foreach_target.h>
// The headers above must come first: this file is compiled once per instruction set.
#include <hwy/highway.h>

#include "kernels/common/lanes-inl.h"
#include "kernels/common/tables.h"
#include "tensor/parallel.h"

HWY_BEFORE_NAMESPACE();
namespace mt::HWY_NAMESPACE {

void ElementwiseAdd(const float* a, const float* b, float* y, int64_t n) {
  const Lanes lanes;
  for_each_lanes(n, [&](int64_t i, int64_t m) HWY_ATTR {
    lanes.store(lanes.add(lanes.load_or(a + i, m, 0.0F), lanes.load_or(b + i, m, 0.0F)), y + i, m);
  });
}

void ElementwiseSub(const float* a, const float* b, float* y, int64_t n) {
  const Lanes lanes;
  for_each_lanes(n, [&](int64_t i, int64_t m) HWY_ATTR {
    lanes.store(lanes.sub(lanes.load_or(a + i, m, 0.0F), lanes.load_or(b + i, m, 0.0F)), y + i, m);
  });
}

void ElementwiseMul(const float* a, const float* b, float* y, int64_t n) {
  const Lanes lanes;
  for_each_lanes(n, [&](int64_t i, int64_t m) HWY_ATTR {
    lanes.store(lanes.mul(lanes.load_or(a + i, m, 0.0F), lanes.load_or(b + i, m, 0.0F)), y + i, m);
  });
}

void ElementwiseScale(const float* x, float factor, float* y, int64_t n) {
  const Lanes lanes;
  const auto f = lanes.set(factor);
  for_each_lanes(n, [&](int64_t i, int64_t m)
                        HWY_ATTR { lanes.store(lanes.mul(lanes.load_or(x + i, m, 0.0F), f), y + i, m); });
}

}  // namespace mt::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mt {
namespace {

HWY_EXPORT(ElementwiseAdd);
HWY_EXPORT(ElementwiseSub);
HWY_EXPORT(ElementwiseMul);
HWY_EXPORT(ElementwiseScale);

/// Elements of one range: long enough to pay for a thread, a multiple of 16.
constexpr int64_t kGrain = 16384;

void add(const float* a, const float* b, float* y, int64_t n, Stream) {
  const auto run = HWY_DYNAMIC_DISPATCH(ElementwiseAdd);
  parallel_for(n, kGrain,
               [=](int64_t begin, int64_t end) { run(a + begin, b + begin, y + begin, end - begin); });
}

void sub(const float* a, const float* b, float* y, int64_t n, Stream) {
  const auto run = HWY_DYNAMIC_DISPATCH(ElementwiseSub);
  parallel_for(n, kGrain,
               [=](int64_t begin, int64_t end) { run(a + begin, b + begin, y + begin, end - begin); });
}

void mul(const float* a, const float* b, float* y, int64_t n, Stream) {
  const auto run = HWY_DYNAMIC_DISPATCH(ElementwiseMul);
  parallel_for(n, kGrain,
               [=](int64_t begin, int64_t end) { run(a + begin, b + begin, y + begin, end - begin); });
}

void scale(const float* x, float factor, float* y, int64_t n, Stream) {
  const auto run = HWY_DYNAMIC_DISPATCH(ElementwiseScale);
  parallel_for(n, kGrain,
               [=](int64_t begin, int64_t end) { run(x + begin, factor, y + begin, end - begin); });
}

void add_row(const float* x, const float* row, float* y, int64_t rows, int64_t columns, Stream) {
  if (columns == 0) return;
  const auto run = HWY_DYNAMIC_DISPATCH(ElementwiseAdd);
  parallel_for(rows, std::max<int64_t>(1, kGrain / columns), [=](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) run(x + r * columns, row, y + r * columns, columns);
  });
}

}  // namespace

template <>
const Elementwise<float>& elementwise<float>(Device device) {
  static constexpr Elementwise<float> table{add, sub, mul, scale, add_row};
  return device == Device::cpu ? table : device_table<Elementwise<float>>(device, "elementwise");
}

}  // namespace mt
#endif
