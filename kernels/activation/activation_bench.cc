#include "kernels/activation/activation.h"

#include <benchmark/benchmark.h>

#include <vector>

namespace mt {
namespace {

constexpr int64_t kElements = 1 << 20;

// Bytes: 8 an element forward, 12 backward (activation.md). Range 0: the ActivationKind.
void activation_forward(benchmark::State& state) {
  const std::vector<float> x(kElements, 0.7F);
  std::vector<float> y(kElements);
  for (auto _ : state) {
    activation<float>(Device::cpu)
        .forward(static_cast<ActivationKind>(state.range(0)), x.data(), y.data(), kElements, nullptr);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * 8 * kElements);
}

void activation_backward(benchmark::State& state) {
  const std::vector<float> saved(kElements, 0.7F);
  const std::vector<float> dy(kElements, 0.5F);
  std::vector<float> dx(kElements);
  for (auto _ : state) {
    activation<float>(Device::cpu)
        .backward(static_cast<ActivationKind>(state.range(0)), saved.data(), dy.data(), dx.data(), kElements,
                  nullptr);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * 12 * kElements);
}

BENCHMARK(activation_forward)->DenseRange(0, 5)->UseRealTime();
BENCHMARK(activation_backward)->DenseRange(0, 5)->UseRealTime();

}  // namespace
}  // namespace mt
