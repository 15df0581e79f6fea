#include "kernels/optimizer/optimizer.h"

#include <benchmark/benchmark.h>

#include <vector>

namespace mt {
namespace {

// Bytes per parameter: SGD 12, Adam 28, the norm 4 (optimizer.md).
void optimizer_sgd(benchmark::State& state) {
  const int64_t n = state.range(0);
  std::vector<float> p(static_cast<std::size_t>(n), 0.5F);
  const std::vector<float> g(p.size(), 1e-3F);
  for (auto _ : state)
    optimizer<float>(Device::cpu).sgd(p.data(), g.data(), nullptr, n, 1, 1, SgdRule{}, nullptr);
  state.SetBytesProcessed(state.iterations() * 12 * n);
}

void optimizer_adam(benchmark::State& state) {
  const int64_t n = state.range(0);
  std::vector<float> p(static_cast<std::size_t>(n), 0.5F);
  const std::vector<float> g(p.size(), 1e-3F);
  std::vector<float> m(p.size()), v(p.size());
  int64_t step = 0;
  for (auto _ : state) {
    optimizer<float>(Device::cpu)
        .adam(p.data(), g.data(), m.data(), v.data(), nullptr, n, ++step, 1, AdamRule{}, nullptr);
  }
  state.SetBytesProcessed(state.iterations() * 28 * n);
}

BENCHMARK(optimizer_sgd)->Arg(11000000)->UseRealTime();  // a ResNet-18
BENCHMARK(optimizer_adam)->Arg(11000000)->UseRealTime();

}  // namespace
}  // namespace mt
