#include "kernels/augment/augment.h"

#include <benchmark/benchmark.h>

#include <vector>

namespace mt {
namespace {

// SimCLR's views of 64 images of state.range(0) pixels; items are views, bytes: 3 read and 3 written a pixel
// (augment.md).
void augment_simclr(benchmark::State& state) {
  constexpr int64_t kImages = 64;
  const int64_t side = state.range(0);
  std::vector<uint8_t> images(static_cast<std::size_t>(kImages * side * side * 3));
  for (std::size_t i = 0; i < images.size(); ++i) images[i] = static_cast<uint8_t>(i * 2654435761U >> 13);
  std::vector<uint8_t> views(images.size());
  RandomStream random(1, Purpose::augment);
  std::vector<AugmentParameters> parameters;
  for (int64_t b = 0; b < kImages; ++b) parameters.push_back(sample_augmentation({}, side, side, random));
  for (auto _ : state) {
    augment<float>(Device::cpu)
        .apply(images.data(), parameters.data(), views.data(), kImages, side, side, side, kBlurSize, nullptr);
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * kImages);
  state.SetBytesProcessed(state.iterations() * 6 * kImages * side * side);
}

BENCHMARK(augment_simclr)->Arg(64)->Arg(224)->UseRealTime();

}  // namespace
}  // namespace mt
