#include "kernels/elementwise/elementwise.h"

#include <benchmark/benchmark.h>

#include <vector>

namespace mt {
namespace {

constexpr int64_t kElements = 1 << 20;

// 12 bytes an element each (elementwise.md).
void elementwise_add(benchmark::State& state) {
  const std::vector<float> a(kElements, 0.5F);
  const std::vector<float> b(kElements, 0.25F);
  std::vector<float> y(kElements);
  for (auto _ : state) {
    elementwise<float>(Device::cpu).add(a.data(), b.data(), y.data(), kElements, nullptr);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * 12 * kElements);
}

BENCHMARK(elementwise_add)->UseRealTime();

}  // namespace
}  // namespace mt
