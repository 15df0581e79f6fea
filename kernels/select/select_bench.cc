#include "kernels/select/select.h"

#include <benchmark/benchmark.h>

#include <vector>

#include "tensor/rng.h"

namespace mt {
namespace {

std::vector<float> scores_of(int64_t n) {
  RandomStream random(1, Purpose::test);
  std::vector<float> scores(static_cast<std::size_t>(n));
  for (float& score : scores) score = random.uniform();
  return scores;
}

// Bytes: one read of the scores (select.md).
void select_quantile(benchmark::State& state) {
  const auto scores = scores_of(state.range(0));
  const double level = 0.8;
  double value = 0;
  for (auto _ : state) {
    select<float>(Device::cpu).quantiles(scores.data(), nullptr, state.range(0), &level, &value, 1, nullptr);
    benchmark::DoNotOptimize(value);
  }
  state.SetBytesProcessed(state.iterations() * 4 * state.range(0));
}

void select_top_1000(benchmark::State& state) {
  const auto scores = scores_of(state.range(0));
  std::vector<int64_t> indices(1000);
  std::vector<float> values(1000);
  for (auto _ : state) {
    select<float>(Device::cpu)
        .top_k(scores.data(), nullptr, state.range(0), 1000, indices.data(), values.data(), nullptr);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * 4 * state.range(0));
}

BENCHMARK(select_quantile)->Arg(1000000)->Arg(10000000)->UseRealTime();
BENCHMARK(select_top_1000)->Arg(1000000)->Arg(10000000)->UseRealTime();

}  // namespace
}  // namespace mt
