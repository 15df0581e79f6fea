#include "kernels/gemm/gemm.h"

#include <benchmark/benchmark.h>

#include <vector>

namespace mt {
namespace {

// 2 m n k FLOPs (gemm.md). Arguments: m, n, k, transpose_a, transpose_b.
void gemm_multiply(benchmark::State& state) {
  const int64_t m = state.range(0);
  const int64_t n = state.range(1);
  const int64_t k = state.range(2);
  const bool transpose_a = state.range(3) != 0;
  const bool transpose_b = state.range(4) != 0;
  const std::vector<float> a(static_cast<std::size_t>(m * k), 0.5F);
  const std::vector<float> b(static_cast<std::size_t>(k * n), 0.25F);
  std::vector<float> c(static_cast<std::size_t>(m * n));
  for (auto _ : state) {
    gemm<float>(Device::cpu)
        .multiply(transpose_a, transpose_b, m, n, k, a.data(), transpose_a ? m : k, b.data(),
                  transpose_b ? k : n, 0.0F, c.data(), n, {}, nullptr);
    benchmark::ClobberMemory();
  }
  state.counters["GFLOP/s"] = benchmark::Counter(static_cast<double>(2 * m * n * k) * 1e-9,
                                                 benchmark::Counter::kIsIterationInvariantRate);
}

// A large square; the layers of the heads and of DSMIL on a bag of 2,000 patches, forward and backward; one
// row.
BENCHMARK(gemm_multiply)
    ->Args({1024, 1024, 1024, 0, 0})
    ->Args({1024, 1024, 1024, 1, 0})
    ->Args({1024, 1024, 1024, 0, 1})
    ->Args({128, 512, 512, 0, 1})
    ->Args({2000, 128, 512, 0, 1})
    ->Args({2000, 512, 128, 0, 0})
    ->Args({128, 512, 2000, 1, 0})
    ->Args({2000, 1, 512, 0, 1})
    ->Args({1, 512, 512, 0, 1})
    ->UseRealTime();

}  // namespace
}  // namespace mt
