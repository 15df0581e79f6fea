#include "kernels/softmax/softmax.h"

#include <benchmark/benchmark.h>

#include <vector>

namespace mt {
namespace {

// Bytes: forward reads x and writes y, backward reads y and dy and writes dx (softmax.md).
void softmax_forward(benchmark::State& state) {
  const int64_t rows = state.range(0);
  const int64_t columns = state.range(1);
  std::vector<float> x(static_cast<std::size_t>(rows * columns), 0.5F);
  std::vector<float> y(x.size());
  for (auto _ : state) {
    softmax<float>(Device::cpu).forward(x.data(), y.data(), rows, columns, nullptr);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * 2 * 4 * rows * columns);
}

void softmax_backward(benchmark::State& state) {
  const int64_t rows = state.range(0);
  const int64_t columns = state.range(1);
  std::vector<float> y(static_cast<std::size_t>(rows * columns), 1.0F / static_cast<float>(columns));
  std::vector<float> dy(y.size(), 0.5F);
  std::vector<float> dx(y.size());
  for (auto _ : state) {
    softmax<float>(Device::cpu).backward(y.data(), dy.data(), dx.data(), rows, columns, nullptr);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * 3 * 4 * rows * columns);
}

BENCHMARK(softmax_forward)->Args({1, 100000})->Args({1024, 1024})->UseRealTime();
BENCHMARK(softmax_backward)->Args({1, 100000})->Args({1024, 1024})->UseRealTime();

}  // namespace
}  // namespace mt
