#include "kernels/gather/gather.h"

#include <benchmark/benchmark.h>

#include <vector>

namespace mt {
namespace {

constexpr int64_t kRows = 20000;
constexpr int64_t kColumns = 512;
constexpr int64_t kCount = 4096;

std::vector<int64_t> spread_indices() {
  std::vector<int64_t> indices(kCount);
  for (std::size_t i = 0; i < indices.size(); ++i) indices[i] = static_cast<int64_t>(i * 2654435761U % kRows);
  return indices;
}

// Bytes: gather.md.
void gather_rows(benchmark::State& state) {
  const std::vector<float> x(kRows * kColumns, 0.5F);
  std::vector<float> y(kCount * kColumns);
  const auto indices = spread_indices();
  for (auto _ : state) {
    gather<float>(Device::cpu).rows(x.data(), indices.data(), y.data(), kRows, kColumns, kCount, nullptr);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * 8 * kCount * kColumns);
}

void scatter_add_rows(benchmark::State& state) {
  std::vector<float> x(kRows * kColumns, 0.5F);
  const std::vector<float> y(kCount * kColumns, 0.25F);
  const auto indices = spread_indices();
  for (auto _ : state) {
    gather<float>(Device::cpu)
        .scatter_add_rows(y.data(), indices.data(), x.data(), kRows, kColumns, kCount, nullptr);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * 12 * kCount * kColumns);
}

BENCHMARK(gather_rows)->UseRealTime();
BENCHMARK(scatter_add_rows)->UseRealTime();

}  // namespace
}  // namespace mt
