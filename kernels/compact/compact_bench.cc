#include "kernels/compact/compact.h"

#include <benchmark/benchmark.h>

#include <vector>

#include "tensor/rng.h"

namespace mt {
namespace {

// Bytes: one read of the scores and one write per kept row, a fifth of them (compact.md).
void compact_indices(benchmark::State& state) {
  const int64_t n = state.range(0);
  RandomStream random(1, Purpose::test);
  std::vector<float> scores(static_cast<std::size_t>(n));
  for (float& score : scores) score = random.uniform();
  std::vector<int64_t> rows(scores.size());
  int64_t count = 0;
  for (auto _ : state) {
    count = compact<float>(Device::cpu)
                .indices(scores.data(), nullptr, n, Threshold::at_least, 0.8, rows.data(), nullptr);
    benchmark::DoNotOptimize(count);
  }
  state.SetBytesProcessed(state.iterations() * (4 * n + 8 * count));
}

BENCHMARK(compact_indices)->Arg(1000000)->Arg(10000000)->UseRealTime();

}  // namespace
}  // namespace mt
