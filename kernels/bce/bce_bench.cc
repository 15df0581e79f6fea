#include "kernels/bce/bce.h"

#include <benchmark/benchmark.h>

#include <vector>

namespace mt {
namespace {

// Bytes: logits and targets are read, the slopes are written (bce.md).
void bce_mean_with_slopes(benchmark::State& state) {
  const int64_t n = state.range(0);
  const std::vector<float> x(static_cast<std::size_t>(n), 0.5F);
  const std::vector<float> y(x.size(), 1.0F);
  std::vector<float> slopes(x.size());
  float loss = 0;
  for (auto _ : state) {
    bce<float>(Device::cpu).mean_with_slopes(x.data(), y.data(), 1.5, &loss, slopes.data(), n, nullptr);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * 12 * n);
}

BENCHMARK(bce_mean_with_slopes)->Arg(2)->Arg(1 << 20)->UseRealTime();

}  // namespace
}  // namespace mt
