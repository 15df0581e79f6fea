#include "kernels/_skeleton/skeleton.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/_skeleton/skeleton_cpu.cc"
#include <hwy/foreach_target.h>
// The headers above must come first: this file is compiled once per instruction set.
#include <hwy/highway.h>

#include "kernels/common/lanes-inl.h"
#include "kernels/common/tables.h"
#include "tensor/parallel.h"

HWY_BEFORE_NAMESPACE();
namespace mt::HWY_NAMESPACE {

void SkeletonForwardRange(const float* x, float* y, int64_t n, float a, float b) {  // x, y: (n)
  const Lanes lanes;
  for_each_lanes(n, [&](int64_t i, int64_t count) {
    const auto v = lanes.load_or(x + i, count, 0.0F);
    lanes.store(lanes.mul_add(lanes.set(a), v, lanes.set(b)), y + i, count);
  });
}

void SkeletonBackwardRange(const float* dy, float* dx, int64_t n, float a) {  // dy, dx: (n)
  const Lanes lanes;
  for_each_lanes(n, [&](int64_t i, int64_t count) {
    lanes.store(lanes.mul(lanes.set(a), lanes.load_or(dy + i, count, 0.0F)), dx + i, count);
  });
}

}  // namespace mt::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mt {
namespace {

HWY_EXPORT(SkeletonForwardRange);
HWY_EXPORT(SkeletonBackwardRange);

constexpr int64_t kGrain = 16384;  // elements: 64 KiB, far above the cost of handing out work

void forward(const float* x, float* y, int64_t n, float a, float b, Stream) {
  const auto range = HWY_DYNAMIC_DISPATCH(SkeletonForwardRange);
  parallel_for(n, kGrain,
               [=](int64_t begin, int64_t end) { range(x + begin, y + begin, end - begin, a, b); });
}

void backward(const float* dy, float* dx, int64_t n, float a, Stream) {
  const auto range = HWY_DYNAMIC_DISPATCH(SkeletonBackwardRange);
  parallel_for(n, kGrain, [=](int64_t begin, int64_t end) { range(dy + begin, dx + begin, end - begin, a); });
}

}  // namespace

template <>
const Skeleton<float>& skeleton<float>(Device device) {
  static constexpr Skeleton<float> table{forward, backward};
  return device == Device::cpu ? table : device_table<Skeleton<float>>(device, "skeleton");
}

}  // namespace mt
#endif
