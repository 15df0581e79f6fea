#include "kernels/fill/fill.h"

#include <benchmark/benchmark.h>

#include <vector>

namespace mt {
namespace {

void fill_constant(benchmark::State& state) {
  std::vector<float> y(static_cast<std::size_t>(state.range(0)));
  for (auto _ : state) {
    fill<float>(Device::cpu).constant(y.data(), 0.5F, state.range(0), nullptr);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * 4 * state.range(0));
}

BENCHMARK(fill_constant)->Arg(1 << 20)->UseRealTime();

}  // namespace
}  // namespace mt
