#include "kernels/bce/bce.h"

#include <benchmark/benchmark.h>

#include <vector>

namespace mt {
namespace {

// Bytes: logits and targets are read, the gradient is written (bce.md).
void bce_mean_with_gradient(benchmark::State& state) {
  const int64_t n = state.range(0);
  const std::vector<float> x(static_cast<std::size_t>(n), 0.5F);
  const std::vector<float> y(x.size(), 1.0F);
  std::vector<float> dx(x.size());
  const float dloss = 1;
  float loss = 0;
  for (auto _ : state) {
    bce<float>(Device::cpu).mean_with_gradient(x.data(), y.data(), 1.5, &dloss, &loss, dx.data(), n, nullptr);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * 12 * n);
}

BENCHMARK(bce_mean_with_gradient)->Arg(2)->Arg(1 << 20)->UseRealTime();

}  // namespace
}  // namespace mt
