#include "kernels/supcon/supcon.h"

#include <benchmark/benchmark.h>

#include <cmath>
#include <vector>

#include "tensor/rng.h"

namespace mt {
namespace {

struct Batch {
  Batch(int64_t rows, int64_t width)
      : z(static_cast<std::size_t>(rows * width)), labels(static_cast<std::size_t>(rows)) {
    RandomStream random(1, Purpose::test);
    for (float& value : z) value = random.normal() / std::sqrt(static_cast<float>(width));
    for (int32_t& label : labels) label = random.chance(0.2F) ? 1 : 0;
    batch.z = z.data();
    batch.labels = labels.data();
    batch.rows = batch.anchors = rows;
    batch.width = width;
    batch.pair_mode = PairMode::negatives;
    lse.resize(labels.size());
    positive_sum.resize(labels.size());
    count.resize(labels.size());
    dz.resize(z.size());
  }
  void forward() {
    supcon<float>(Device::cpu).forward(batch, lse.data(), positive_sum.data(), count.data(), &loss, nullptr);
  }
  void backward() {
    supcon<float>(Device::cpu).backward(batch, lse.data(), count.data(), &dloss, dz.data(), nullptr);
  }

  std::vector<float> z, lse, positive_sum, dz;
  std::vector<int32_t> labels, count;
  SupConBatch<float> batch;
  float loss = 0;
  float dloss = 1;
};

// FLOPs: 2 M² D forward, 4 M² D backward (supcon.md).
void report_flops(benchmark::State& state, double per_pair) {
  const double rows = static_cast<double>(state.range(0));
  state.counters["FLOP/s"] = benchmark::Counter(per_pair * rows * rows * static_cast<double>(state.range(1)),
                                                benchmark::Counter::kIsIterationInvariantRate);
}

void supcon_forward(benchmark::State& state) {
  Batch batch(state.range(0), state.range(1));
  for (auto _ : state) batch.forward();
  report_flops(state, 2);
}

void supcon_backward(benchmark::State& state) {
  Batch batch(state.range(0), state.range(1));
  batch.forward();
  for (auto _ : state) batch.backward();
  report_flops(state, 4);
}

BENCHMARK(supcon_forward)->Args({1024, 256})->Args({4096, 256})->UseRealTime();
BENCHMARK(supcon_backward)->Args({1024, 256})->Args({4096, 256})->UseRealTime();

}  // namespace
}  // namespace mt
