#include "kernels/reduce/reduce.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/reduce/reduce_cpu.cc"
#include <hwy/foreach_target.h>
// The headers above must come first: this file is compiled once per instruction set.
#include <hwy/highway.h>

#include "kernels/common/lanes-inl.h"
#include "kernels/common/tables.h"
#include "tensor/parallel.h"

HWY_BEFORE_NAMESPACE();
namespace mt::HWY_NAMESPACE {

/// Rows of x that are added one after another, before sums are added as a tree.
inline constexpr int64_t kLeafRows = 8;

// Σ x of n <= 1024 elements: element i goes to lane i mod 16, then the lanes are added as a tree.
float SumBlock(const float* x, int64_t n) {
  const Lanes lanes;
  auto sum = lanes.set(0.0F);
  for_each_lanes(n,
                 [&](int64_t i, int64_t m) HWY_ATTR { sum = lanes.add(sum, lanes.load_or(x + i, m, 0.0F)); });
  return lanes.reduce_add(sum);
}

// x · 0 is 0 for finite x and NaN for all else.
bool FiniteBlock(const float* x, int64_t n) {
  const Lanes lanes;
  const auto zero = lanes.set(0.0F);
  auto sum = zero;
  for_each_lanes(n, [&](int64_t i, int64_t m)
                        HWY_ATTR { sum = lanes.add(sum, lanes.mul(lanes.load_or(x + i, m, 0.0F), zero)); });
  return !lanes.any_nan(sum);
}

// Column sums of a panel of `columns` <= 16: leaves of 8 rows in order, leaves merged as in a binary counter,
// so that the tree depends on the row's number alone. y: (columns); neighbouring rows are `stride` floats
// apart.
void ColumnSumPanel(const float* x, float* y, int64_t rows, int64_t columns, int64_t stride) {
  const Lanes lanes;
  Lanes::Value level[64];  // level[k]: sum of 2^k leaves, there when bit k of `leaves` is set
  uint64_t leaves = 0;
  for (int64_t begin = 0; begin < rows; begin += kLeafRows) {
    auto sum = lanes.load_or(x + begin * stride, columns, 0.0F);
    for (int64_t r = begin + 1; r < std::min(begin + kLeafRows, rows); ++r) {
      sum = lanes.add(sum, lanes.load_or(x + r * stride, columns, 0.0F));
    }
    int k = 0;
    for (; (leaves >> k & 1) != 0; ++k) sum = lanes.add(level[k], sum);
    level[k] = sum;
    ++leaves;
  }
  auto total = lanes.set(0.0F);
  for (int k = 0; leaves >> k != 0; ++k) {
    if ((leaves >> k & 1) != 0) total = lanes.add(level[k], total);
  }
  lanes.store(total, y, columns);
}

}  // namespace mt::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <atomic>
#include <vector>

namespace mt {
namespace {

HWY_EXPORT(SumBlock);
HWY_EXPORT(FiniteBlock);
HWY_EXPORT(ColumnSumPanel);

constexpr int64_t kBlock = 1024;        // elements of a float sum
constexpr int64_t kSegmentRows = 4096;  // rows of a column sum that one task adds
constexpr int64_t kPanel = 16;          // columns that one task adds

// Block sums in float, added in double in order.
void sum(const float* x, float* y, int64_t n, Stream) {
  const auto block = HWY_DYNAMIC_DISPATCH(SumBlock);
  std::vector<float> sums(static_cast<std::size_t>((n + kBlock - 1) / kBlock));
  parallel_for(static_cast<int64_t>(sums.size()), 16, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      sums[static_cast<std::size_t>(b)] = block(x + b * kBlock, std::min(kBlock, n - b * kBlock));
    }
  });
  double total = 0;
  for (const float part : sums) total += static_cast<double>(part);
  y[0] = static_cast<float>(total);
}

void all_finite(const float* x, uint8_t* flag, int64_t n, Stream) {
  const auto block = HWY_DYNAMIC_DISPATCH(FiniteBlock);
  std::atomic<bool> finite{true};
  parallel_for(n, 16384, [&](int64_t begin, int64_t end) {
    if (!block(x + begin, end - begin)) finite = false;
  });
  flag[0] = finite ? 1 : 0;
}

void column_sum(const float* x, float* y, int64_t rows, int64_t columns, Stream) {
  const auto panel = HWY_DYNAMIC_DISPATCH(ColumnSumPanel);
  const int64_t segments = std::max<int64_t>(1, (rows + kSegmentRows - 1) / kSegmentRows);
  const int64_t panels = (columns + kPanel - 1) / kPanel;
  std::vector<float> partial(static_cast<std::size_t>(segments * columns));  // (segments, columns)
  parallel_for(segments * panels, segments * panels > 8 ? 4 : 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t segment = task / panels;
      const int64_t c = task % panels * kPanel;
      panel(x + segment * kSegmentRows * columns + c, partial.data() + segment * columns + c,
            std::min(kSegmentRows, rows - segment * kSegmentRows), std::min(kPanel, columns - c), columns);
    }
  });
  for (int64_t c = 0; c < columns; c += kPanel) {
    panel(partial.data() + c, y + c, segments, std::min(kPanel, columns - c), columns);
  }
}

void column_mean(const float* x, float* y, int64_t rows, int64_t columns, Stream stream) {
  check(rows >= 1, "column_mean: no rows to take the mean of");
  column_sum(x, y, rows, columns, stream);
  for (int64_t c = 0; c < columns; ++c) y[c] /= static_cast<float>(rows);
}

}  // namespace

template <>
const Reduce<float>& reduce<float>(Device device) {
  static constexpr Reduce<float> table{column_sum, column_mean, sum, all_finite};
  return device == Device::cpu ? table : device_table<Reduce<float>>(device, "reduce");
}

}  // namespace mt
#endif
