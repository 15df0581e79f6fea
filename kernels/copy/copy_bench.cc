#include "kernels/copy/copy.h"

#include <benchmark/benchmark.h>

#include <array>
#include <vector>

namespace mt {
namespace {

constexpr int64_t kImages = 8;
constexpr int64_t kPixels = 224 * 224;

// Bytes read and written (copy.md).
void copy_transposed(benchmark::State& state) {
  const std::vector<float> x(1024 * 1024, 0.5F);
  std::vector<float> y(x.size());
  for (auto _ : state) {
    copy<float>(Device::cpu)
        .strided(x.data(), std::array<int64_t, 2>{1024, 1024}, std::array<int64_t, 2>{1, 1024}, y.data(), 4,
                 nullptr);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * 8 * 1024 * 1024);
}

void copy_image_to_float(benchmark::State& state) {
  const std::vector<uint8_t> images(kImages * kPixels * 3, 100);
  std::vector<float> y(images.size());
  for (auto _ : state) {
    copy<float>(Device::cpu).image_to_float(images.data(), y.data(), kImages, kPixels, {}, nullptr);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * 5 * kImages * kPixels * 3);
}

BENCHMARK(copy_transposed)->UseRealTime();
BENCHMARK(copy_image_to_float)->UseRealTime();

}  // namespace
}  // namespace mt
