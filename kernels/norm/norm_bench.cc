#include "kernels/norm/norm.h"

#include <benchmark/benchmark.h>

#include <vector>

namespace mt {
namespace {

// ResNet-18's stages at 224 px: (images, pixels, channels). Bytes: norm.md, with residual and ReLU.
struct Arrays {
  explicit Arrays(const benchmark::State& state)
      : n(state.range(0)),
        pixels(state.range(1)),
        c(state.range(2)),
        x(size()),
        residual(size(), 0.25F),
        y(size()),
        dy(size(), 0.5F),
        dx(size()),
        mean(static_cast<std::size_t>(n * c)),
        inv_std(mean.size()) {
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i * 2654435761U % 1024) / 512 - 1;
  }
  std::size_t size() const { return static_cast<std::size_t>(n * pixels * c); }
  int64_t n, pixels, c;
  std::vector<float> x, residual, y, dy, dx, mean, inv_std;
};

void instance_norm_forward(benchmark::State& state) {
  Arrays a(state);
  for (auto _ : state) {
    norm<float>(Device::cpu)
        .instance_forward(a.x.data(), nullptr, nullptr, a.residual.data(), true, a.y.data(), a.mean.data(),
                          a.inv_std.data(), a.n, a.pixels, a.c, 1e-5F, nullptr);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * 16 * a.n * a.pixels * a.c);
}

void instance_norm_average(benchmark::State& state) {
  Arrays a(state);
  for (auto _ : state) {
    norm<float>(Device::cpu)
        .instance_average(a.x.data(), nullptr, nullptr, a.residual.data(), true, a.mean.data(), a.n, a.pixels,
                          a.c, 1e-5F, nullptr);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * 12 * a.n * a.pixels * a.c);
}

void instance_norm_backward(benchmark::State& state) {
  Arrays a(state);
  norm<float>(Device::cpu)
      .instance_forward(a.x.data(), nullptr, nullptr, a.residual.data(), true, a.y.data(), a.mean.data(),
                        a.inv_std.data(), a.n, a.pixels, a.c, 1e-5F, nullptr);
  for (auto _ : state) {
    norm<float>(Device::cpu)
        .instance_backward(a.x.data(), a.y.data(), a.dy.data(), nullptr, a.mean.data(), a.inv_std.data(),
                           true, a.dx.data(), a.residual.data(), nullptr, nullptr, a.n, a.pixels, a.c,
                           nullptr);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * 32 * a.n * a.pixels * a.c);
}

BENCHMARK(instance_norm_forward)
    ->Args({8, 12544, 64})
    ->Args({8, 3136, 64})
    ->Args({8, 49, 512})
    ->UseRealTime();
BENCHMARK(instance_norm_average)->Args({8, 49, 512})->Args({8, 196, 512})->UseRealTime();
BENCHMARK(instance_norm_backward)
    ->Args({8, 12544, 64})
    ->Args({8, 3136, 64})
    ->Args({8, 49, 512})
    ->UseRealTime();

}  // namespace
}  // namespace mt
