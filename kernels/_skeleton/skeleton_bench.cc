#include <benchmark/benchmark.h>

#include <vector>

#include "kernels/_skeleton/skeleton.h"

namespace mt {
namespace {

// Bytes: forward reads x and writes y (skeleton.md). FLOPs: 2 an element.
void skeleton_forward(benchmark::State& state) {
  const int64_t n = state.range(0);
  std::vector<float> x(static_cast<std::size_t>(n), 0.5F);
  std::vector<float> y(x.size());
  for (auto _ : state) {
    skeleton<float>(Device::cpu).forward(x.data(), y.data(), n, 2.0F, 1.0F, nullptr);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * 2 * 4 * n);
  state.counters["FLOPS"] =
      benchmark::Counter(static_cast<double>(2 * n), benchmark::Counter::kIsIterationInvariantRate);
}

BENCHMARK(skeleton_forward)->Arg(1 << 20)->UseRealTime();

}  // namespace
}  // namespace mt
