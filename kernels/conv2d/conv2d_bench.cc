#include "kernels/conv2d/conv2d.h"

#include <benchmark/benchmark.h>

#include <array>
#include <vector>

namespace mt {
namespace {

// The convolutions of ResNet-18 on 224 px (base width 64, 8 images) and of the narrow one on 64 px (base
// width 16, 128 images). Arguments: n, h = w, c, k, r = s, stride, padding.
void resnet18_layers(benchmark::internal::Benchmark* bench) {
  for (const auto& [n, size, base] :
       {std::array<int64_t, 3>{8, 224, 64}, std::array<int64_t, 3>{128, 64, 16}}) {
    bench->Args({n, size, 3, base, 7, 2, 3});
    for (int64_t stage = 0; stage < 4; ++stage) {
      const int64_t h = size / 4 >> stage;
      const int64_t c = base << stage;
      bench->Args({n, h, c, c, 3, 1, 1});
      if (stage == 3) continue;
      bench->Args({n, h, c, 2 * c, 3, 2, 1});
      bench->Args({n, h, c, 2 * c, 1, 2, 0});
    }
  }
}

enum class Pass { forward, backward_data, backward_weights };

// 2 n p q k r s c FLOPs in each pass (conv2d.md).
template <Pass kPass>
void convolution(benchmark::State& state) {
  const Conv2dShape d{.n = state.range(0),
                      .h = state.range(1),
                      .w = state.range(1),
                      .c = state.range(2),
                      .k = state.range(3),
                      .r = state.range(4),
                      .s = state.range(4),
                      .stride = state.range(5),
                      .padding = state.range(6)};
  std::vector<float> x(static_cast<std::size_t>(d.n * d.h * d.w * d.c), 0.5F);
  std::vector<float> w(static_cast<std::size_t>(d.k * d.r * d.s * d.c), 0.25F);
  std::vector<float> y(static_cast<std::size_t>(d.n * d.out_h() * d.out_w() * d.k), 0.125F);
  const auto& table = conv2d<float>(Device::cpu);
  for (auto _ : state) {
    if constexpr (kPass == Pass::forward)
      table.forward(x.data(), w.data(), y.data(), d, nullptr);
    else if constexpr (kPass == Pass::backward_data)
      table.backward_data(y.data(), w.data(), x.data(), d, nullptr);
    else
      table.backward_weights(x.data(), y.data(), w.data(), d, nullptr);
    benchmark::ClobberMemory();
  }
  state.counters["GFLOP/s"] =
      benchmark::Counter(2e-9 * static_cast<double>(d.n * d.out_h() * d.out_w() * d.k * d.r * d.s * d.c),
                         benchmark::Counter::kIsIterationInvariantRate);
}

BENCHMARK(convolution<Pass::forward>)->Apply(resnet18_layers)->UseRealTime();
BENCHMARK(convolution<Pass::backward_data>)->Apply(resnet18_layers)->UseRealTime();
BENCHMARK(convolution<Pass::backward_weights>)->Apply(resnet18_layers)->UseRealTime();

}  // namespace
}  // namespace mt
