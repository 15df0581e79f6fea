#include "kernels/reduce/reduce.h"

#include <benchmark/benchmark.h>

#include <vector>

namespace mt {
namespace {

// 4 bytes an element (reduce.md).
void reduce_column_sum(benchmark::State& state) {
  const std::vector<float> x(static_cast<std::size_t>(state.range(0) * state.range(1)), 0.5F);
  std::vector<float> y(static_cast<std::size_t>(state.range(1)));
  for (auto _ : state) {
    reduce<float>(Device::cpu).column_sum(x.data(), y.data(), state.range(0), state.range(1), nullptr);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * 4 * state.range(0) * state.range(1));
}

void reduce_sum(benchmark::State& state) {
  const std::vector<float> x(static_cast<std::size_t>(state.range(0)), 0.5F);
  float y = 0;
  for (auto _ : state) {
    reduce<float>(Device::cpu).sum(x.data(), &y, state.range(0), nullptr);
    benchmark::DoNotOptimize(y);
  }
  state.SetBytesProcessed(state.iterations() * 4 * state.range(0));
}

BENCHMARK(reduce_column_sum)->Args({25088, 64})->Args({512, 2048})->UseRealTime();
BENCHMARK(reduce_sum)->Arg(1 << 21)->UseRealTime();

}  // namespace
}  // namespace mt
