#include "kernels/dsmil/dsmil.h"

#include <benchmark/benchmark.h>

#include <cmath>
#include <vector>

#include "tensor/rng.h"

namespace mt {
namespace {

struct Bag {
  explicit Bag(int64_t n) : shape{n, 1, 128, 512, 1 / std::sqrt(128.0)} {
    RandomStream random(1, Purpose::test);
    q.resize(static_cast<std::size_t>(n * shape.query_width));
    values.resize(static_cast<std::size_t>(n * shape.value_width));
    for (float& value : q) value = random.uniform(-1, 1);
    for (float& value : values) value = random.uniform();
    attention.resize(static_cast<std::size_t>(n));
    pooled.resize(512);
    dpooled.assign(512, 0.5F);
    dq.resize(q.size());
    dvalues.resize(values.size());
  }
  void forward() {
    dsmil<float>(Device::cpu)
        .forward(shape, q.data(), critical.data(), values.data(), attention.data(), pooled.data(), nullptr);
  }
  DsmilShape shape;
  std::vector<int64_t> critical{0};
  std::vector<float> q, values, attention, pooled, dpooled, dq, dvalues;
};

// Bytes: forward reads q and values; backward reads them and writes their gradients (dsmil.md).
void dsmil_forward(benchmark::State& state) {
  Bag bag(state.range(0));
  for (auto _ : state) bag.forward();
  state.SetBytesProcessed(state.iterations() * 4 * state.range(0) * 640);
}

void dsmil_backward(benchmark::State& state) {
  Bag bag(state.range(0));
  bag.forward();
  for (auto _ : state) {
    dsmil<float>(Device::cpu)
        .backward(bag.shape, bag.q.data(), bag.critical.data(), bag.values.data(), bag.attention.data(),
                  bag.dpooled.data(), nullptr, bag.dq.data(), bag.dvalues.data(), nullptr);
  }
  state.SetBytesProcessed(state.iterations() * 8 * state.range(0) * 640);
}

BENCHMARK(dsmil_forward)->Arg(2000)->Arg(100000)->UseRealTime();
BENCHMARK(dsmil_backward)->Arg(2000)->Arg(100000)->UseRealTime();

}  // namespace
}  // namespace mt
