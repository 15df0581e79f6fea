#include "kernels/gather/gather.h"

#include <cstring>
#include <vector>

#include "kernels/common/tables.h"
#include "tensor/parallel.h"

namespace mt {
namespace {

void check_indices(const int64_t* indices, int64_t rows, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    check(indices[i] >= 0 && indices[i] < rows, "gather: index {} at {} is outside of [0, {})", indices[i], i,
          rows);
  }
}

int64_t rows_per_range(int64_t columns) {
  return std::max<int64_t>(1, 16384 / std::max<int64_t>(columns, 1));
}

void select(const float* x, const int64_t* indices, float* y, int64_t rows, int64_t columns, int64_t count,
            Stream) {
  check_indices(indices, rows, count);
  if (columns == 0) return;
  parallel_for(count, rows_per_range(columns), [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      std::memcpy(y + i * columns, x + indices[i] * columns,
                  static_cast<std::size_t>(columns) * sizeof(float));
    }
  });
}

// Sources in the order of their target, and of i within a target: a counting sort.
struct ByTarget {
  ByTarget(const int64_t* indices, int64_t rows, int64_t count)
      : first(static_cast<std::size_t>(rows) + 1), source(static_cast<std::size_t>(count)) {
    for (int64_t i = 0; i < count; ++i) ++first[static_cast<std::size_t>(indices[i]) + 1];
    for (std::size_t r = 1; r < first.size(); ++r) first[r] += first[r - 1];
    std::vector<int64_t> next = first;
    for (int64_t i = 0; i < count; ++i) {
      source[static_cast<std::size_t>(next[static_cast<std::size_t>(indices[i])]++)] = i;
    }
  }
  std::vector<int64_t> first;   // (rows + 1): where the sources of a target begin
  std::vector<int64_t> source;  // (count)
};

void scatter_add_rows(const float* y, const int64_t* indices, float* x, int64_t rows, int64_t columns,
                      int64_t count, Stream) {
  check_indices(indices, rows, count);
  const ByTarget sorted(indices, rows, count);
  parallel_for(rows, rows_per_range(columns), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const auto target = static_cast<std::size_t>(r);
      for (int64_t s = sorted.first[target]; s < sorted.first[target + 1]; ++s) {
        const float* from = y + sorted.source[static_cast<std::size_t>(s)] * columns;
        for (int64_t c = 0; c < columns; ++c) x[r * columns + c] += from[c];
      }
    }
  });
}

}  // namespace

template <>
const Gather<float>& gather<float>(Device device) {
  static constexpr Gather<float> table{select, scatter_add_rows};
  return device == Device::cpu ? table : device_table<Gather<float>>(device, "gather");
}

}  // namespace mt
