#include "kernels/pool/pool.h"

#include <benchmark/benchmark.h>

#include <vector>

namespace mt {
namespace {

// ResNet's max-pool on 8 images of 112 × 112 × 64. Bytes: pool.md.
constexpr int64_t kImages = 8;
constexpr int64_t kSide = 112;
constexpr int64_t kChannels = 64;
constexpr int64_t kInputs = kImages * kSide * kSide * kChannels;
constexpr int64_t kOutputs = kInputs / 4;

void max_pool_forward(benchmark::State& state) {
  std::vector<float> x(kInputs), y(kOutputs);
  std::vector<uint8_t> argmax(kOutputs);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i * 2654435761U % 1024);
  for (auto _ : state) {
    pool<float>(Device::cpu)
        .max_forward(x.data(), y.data(), argmax.data(), kImages, kSide, kSide, kChannels, {}, nullptr);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * (4 * kInputs + 5 * kOutputs));
}

void max_pool_backward(benchmark::State& state) {
  std::vector<float> dy(kOutputs, 0.5F), dx(kInputs);
  const std::vector<uint8_t> argmax(kOutputs, 4);
  for (auto _ : state) {
    pool<float>(Device::cpu)
        .max_backward(dy.data(), argmax.data(), dx.data(), kImages, kSide, kSide, kChannels, {}, nullptr);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * (4 * kInputs + 5 * kOutputs));
}

void global_average(benchmark::State& state) {
  std::vector<float> x(kInputs, 1.0F), y(kImages * kChannels);
  for (auto _ : state) {
    pool<float>(Device::cpu)
        .global_average_forward(x.data(), y.data(), kImages, kSide * kSide, kChannels, nullptr);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * 4 * kInputs);
}

BENCHMARK(max_pool_forward)->UseRealTime();
BENCHMARK(max_pool_backward)->UseRealTime();
BENCHMARK(global_average)->UseRealTime();

}  // namespace
}  // namespace mt
