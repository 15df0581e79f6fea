#include "kernels/fill/fill.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/fill/fill_cpu.cc"
#include <hwy/foreach_target.h>
// The headers above must come first: this file is compiled once per instruction set.
#include <hwy/highway.h>

#include "kernels/common/tables.h"
#include "tensor/parallel.h"

HWY_BEFORE_NAMESPACE();
namespace mt::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

void FillRange(float* y, float value, int64_t n) {
  const hn::ScalableTag<float> d;
  const auto v = hn::Set(d, value);
  const auto width = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + width <= n; i += width) hn::StoreU(v, d, y + i);
  for (; i < n; ++i) y[i] = value;
}

}  // namespace mt::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mt {
namespace {

HWY_EXPORT(FillRange);

void constant(float* y, float value, int64_t n, Stream) {
  const auto run = HWY_DYNAMIC_DISPATCH(FillRange);
  parallel_for(n, 65536, [=](int64_t begin, int64_t end) { run(y + begin, value, end - begin); });
}

}  // namespace

template <>
const Fill<float>& fill<float>(Device device) {
  static constexpr Fill<float> table{constant};
  return device == Device::cpu ? table : device_table<Fill<float>>(device, "fill");
}

}  // namespace mt
#endif
