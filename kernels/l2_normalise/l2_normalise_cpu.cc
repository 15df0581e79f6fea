#include "kernels/l2_normalise/l2_normalise.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/l2_normalise/l2_normalise_cpu.cc"
#include <hwy/foreach_target.h>
// The headers above must come first: this file is compiled once per instruction set.
#include <hwy/highway.h>

#include "kernels/common/lanes-inl.h"
#include "kernels/common/tables.h"
#include "tensor/parallel.h"

HWY_BEFORE_NAMESPACE();
namespace mt::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Σ a·b in double: column c goes to lane c mod 8 whatever the register width, then the lanes are added as a
// tree.
double DotInDouble(const float* a, const float* b, int64_t n) {
  using D = hn::CappedTag<double, 8>;
  constexpr D d;
  constexpr hn::Rebind<float, D> narrow;
  constexpr int64_t width = hn::MaxLanes(d);
  constexpr int64_t registers = 8 / width;
  hn::Vec<D> sums[registers];
  for (auto& sum : sums) sum = hn::Zero(d);
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    for (int64_t r = 0; r < registers; ++r) {
      const auto left = hn::PromoteTo(d, hn::LoadU(narrow, a + i + r * width));
      const auto right = hn::PromoteTo(d, hn::LoadU(narrow, b + i + r * width));
      sums[r] = hn::Add(sums[r], hn::Mul(left, right));  // the product of two floats is exact in double
    }
  }
  HWY_ALIGN double lane[8];
  for (int64_t r = 0; r < registers; ++r) hn::Store(sums[r], d, lane + r * width);
  for (int64_t j = 0; i + j < n; ++j)
    lane[j] += static_cast<double>(a[i + j]) * static_cast<double>(b[i + j]);
  return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

void L2NormaliseForwardRow(const float* x, float* y, float* norm, int64_t columns,
                           float eps) {  // x, y: (columns)
  const Lanes lanes;
  const double length = std::sqrt(DotInDouble(x, x, columns));
  norm[0] = static_cast<float>(length);
  const auto divisor = lanes.set(norm[0] < eps ? eps : norm[0]);
  for_each_lanes(columns, [&](int64_t c, int64_t n) HWY_ATTR {
    lanes.store(lanes.div(lanes.load_or(x + c, n, 0.0F), divisor), y + c, n);
  });
}

void L2NormaliseBackwardRow(const float* y, float norm, const float* dy, float* dx, int64_t columns,
                            float eps) {
  const Lanes lanes;
  const bool clamped = norm < eps;
  const auto dot = lanes.set(clamped ? 0.0F : static_cast<float>(-DotInDouble(y, dy, columns)));
  const auto divisor = lanes.set(clamped ? eps : norm);
  for_each_lanes(columns, [&](int64_t c, int64_t n) HWY_ATTR {
    const auto tangent = lanes.mul_add(lanes.load_or(y + c, n, 0.0F), dot, lanes.load_or(dy + c, n, 0.0F));
    lanes.store(lanes.div(tangent, divisor), dx + c, n);
  });
}

}  // namespace mt::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mt {
namespace {

HWY_EXPORT(L2NormaliseForwardRow);
HWY_EXPORT(L2NormaliseBackwardRow);

int64_t rows_per_range(int64_t columns) {
  return std::max<int64_t>(1, 16384 / columns);
}

void forward(const float* x, float* y, float* norm, int64_t rows, int64_t columns, float eps, Stream) {
  const auto row = HWY_DYNAMIC_DISPATCH(L2NormaliseForwardRow);
  parallel_for(rows, rows_per_range(columns), [=](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) row(x + r * columns, y + r * columns, norm + r, columns, eps);
  });
}

void backward(const float* y, const float* norm, const float* dy, float* dx, int64_t rows, int64_t columns,
              float eps, Stream) {
  const auto row = HWY_DYNAMIC_DISPATCH(L2NormaliseBackwardRow);
  parallel_for(rows, rows_per_range(columns), [=](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      row(y + r * columns, norm[r], dy + r * columns, dx + r * columns, columns, eps);
    }
  });
}

}  // namespace

template <>
const L2Normalise<float>& l2_normalise<float>(Device device) {
  static constexpr L2Normalise<float> table{forward, backward};
  return device == Device::cpu ? table : device_table<L2Normalise<float>>(device, "l2_normalise");
}

}  // namespace mt
#endif
